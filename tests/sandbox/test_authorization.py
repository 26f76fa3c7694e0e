from typing import Any

import pytest

from sandbox.nucleus.authorization import MQTT_PROXY, authorize, covers, matches
from sandbox.nucleus.ipc import IpcError

REFUSAL = "not {action} on {resource}"


@pytest.mark.parametrize(
    ("pattern", "resource", "allowed"),
    [
        ("*", "anything/at/all", True),
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/*/c", "a/x/y/c", True),
        ("a/b*", "a/bcd", True),
        ("a/+/c", "a/x/c", True),
        ("a/+/c", "a/x/y/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("a/+/c", "a/+/c", True),
        ("a/+", "a/#", False),
        ("a/#", "a/#", True),
        ("a/b", "a/+", False),
        ("$aws/x.y", "$aws/xzy", False),
    ],
)
def test_a_rule_covers_no_more_than_it_says(pattern: str, resource: str, allowed: bool) -> None:
    assert covers(pattern, resource) is allowed


@pytest.mark.parametrize(
    ("topic_filter", "topic", "selected"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("+/b", "$aws/b", False),
        ("#", "$aws/b", False),
        ("a/b/c", "a/b", False),
    ],
)
def test_a_filter_selects_topics_as_mqtt_says(topic_filter: str, topic: str, selected: bool) -> None:
    assert matches(topic_filter, topic) is selected


def rules(**rule: list[str]) -> dict[str, Any]:
    return {"accessControl": {MQTT_PROXY: {"policy": rule}}}


def test_a_refusal_says_what_of_what() -> None:
    with pytest.raises(IpcError) as refusal:
        authorize({}, MQTT_PROXY, "PublishToIoTCore", "d/thing-2/x", REFUSAL)
    assert refusal.value.code == "UnauthorizedError"
    assert str(refusal.value) == f"not {MQTT_PROXY}:aws.greengrass#PublishToIoTCore on d/thing-2/x"


@pytest.mark.parametrize(
    "configuration",
    [{}, {"accessControl": None}, rules(operations=["aws.greengrass#PublishToIoTCore"], resources=["*"])],
)
def test_what_no_rule_allows_is_refused(configuration: dict[str, Any]) -> None:
    with pytest.raises(IpcError):
        authorize(configuration, MQTT_PROXY, "SubscribeToIoTCore", "a", REFUSAL)


def test_a_rule_may_allow_all_operations() -> None:
    authorize(rules(operations=["*"], resources=["a"]), MQTT_PROXY, "SubscribeToIoTCore", "a", REFUSAL)
