"""A real component process, with AWS's own client, on a device with nucleus lite: what is different there."""

import contextlib
import json
import queue
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Device
from sandbox.nucleus.lifecycle import ComponentState
from tests.sandbox.conftest import BUCKET
from tests.sandbox.probe import Control, Probe, ProbeError

READY = "probe/thing-2/lite/ready"
ECHO = "probe/thing-2/lite/echo"


def subscribe(probe: Probe, *topics: str) -> None:
    """Subscribe, and wait until the broker has heard of it, which no answer tells."""
    for topic in topics:
        probe.call("subscribe", topic=topic)
    probe.call("subscribe", topic=READY)
    while True:
        probe.call("publish", topic=READY, payload="")
        with contextlib.suppress(queue.Empty):
            event = probe.events.get(timeout=0.1)
            assert event["topic"] == READY
            return


def messages(probe: Probe) -> Iterator[dict[str, Any]]:
    return (message for message in probe.messages() if message["topic"] != READY)


def test_a_component_can_tell_it_by_its_socket(lite_probe: Probe) -> None:
    variables = lite_probe.call("environment")["variables"]
    assert variables["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"].endswith("/gg-ipc.socket")
    assert variables["GGC_VERSION"].startswith("2.")


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("watch_updates", {}),
        ("defer", {"deployment": "x", "recheck_after_ms": 0}),
        ("watch_connection", {}),
        ("get_thing_shadow", {}),
        ("get_secret", {}),
        ("put_metric", {}),
        ("pause", {}),
    ],
)
def test_an_operation_that_it_lacks_is_an_error_without_a_message_and_the_connection_stays_usable(
    lite_probe: Probe, call: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ProbeError, match="ServiceError: None"):
        lite_probe.call(call, **arguments)
    assert lite_probe.call("get_configuration", path=["greeting"]) == {"greeting": "hello"}


def test_a_named_shadow_is_read_and_updated_over_its_topics(lite_probe: Probe, aws: EmbeddedAws) -> None:
    aws.client("iot-data").update_thing_shadow(
        thingName="thing-2", shadowName="fedgrass-g", payload=json.dumps({"state": {"desired": {"round": 3}}})
    )
    shadow = "$aws/things/thing-2/shadow/name/fedgrass-g"
    subscribe(lite_probe, f"{shadow}/get/accepted", f"{shadow}/update/accepted")
    lite_probe.call("publish", topic=f"{shadow}/get", payload="")
    message = next(messages(lite_probe))
    assert message["topic"] == f"{shadow}/get/accepted"
    assert json.loads(message["payload"])["state"]["delta"] == {"round": 3}
    lite_probe.call("publish", topic=f"{shadow}/update", payload=json.dumps({"state": {"reported": {"round": 3}}}))
    assert next(messages(lite_probe))["topic"] == f"{shadow}/update/accepted"


def test_a_subscription_is_answered_before_the_broker_has_heard_of_it(lite_probe: Probe) -> None:
    lite_probe.call("subscribe", topic=ECHO)
    lite_probe.call("publish", topic=ECHO, payload="too early")
    subscribe(lite_probe)
    lite_probe.call("publish", topic=ECHO, payload="heard")
    assert next(messages(lite_probe))["payload"] == "heard"


def test_a_large_message_from_the_broker_never_arrives_and_nobody_is_told(lite_probe: Probe) -> None:
    subscribe(lite_probe, ECHO)
    for size in (4_900, 5_000):
        lite_probe.call("publish", topic=ECHO, payload="x" * size)
    lite_probe.call("publish", topic=ECHO, payload="small")
    arrived = messages(lite_probe)
    assert [len(next(arrived)["payload"]) for _ in range(2)] == [4_900, 5]


def test_a_large_message_to_the_broker_closes_the_connection(lite_probe: Probe) -> None:
    lite_probe.call("publish", topic=ECHO, payload="x" * 7_200)
    with pytest.raises(ProbeError, match="StreamClosedError"):
        lite_probe.call("publish", topic=ECHO, payload="x" * 7_400)
    with pytest.raises(ProbeError, match="Connection"):
        lite_probe.call("get_configuration", path=["greeting"])
    lite_probe.call("connect_as", svcuid=lite_probe.svcuid)  # the nucleus itself lives on


def test_without_a_line_nothing_is_taken(lite_probe: Probe, lite_device: Device) -> None:
    subscribe(lite_probe, ECHO)
    lite_device.cut_connection()
    with pytest.raises(ProbeError, match="ServiceError"):
        lite_probe.call("publish", topic=ECHO, payload="lost")
    with pytest.raises(ProbeError, match="ServiceError"):
        lite_probe.call("subscribe", topic="probe/thing-2/lite/other")
    lite_device.restore_connection()
    lite_device.wait_connected()
    lite_probe.call("publish", topic=ECHO, payload="sent")
    assert next(messages(lite_probe))["payload"] == "sent"


def test_overlapping_filters_multiply_messages(lite_probe: Probe) -> None:
    subscribe(lite_probe, "probe/thing-2/lite/+", "probe/thing-2/lite/overlap")
    lite_probe.call("publish", topic="probe/thing-2/lite/overlap", payload="once")
    lite_probe.call("publish", topic="probe/thing-2/lite/end", payload="end")
    arrived = messages(lite_probe)
    assert [next(arrived)["payload"] for _ in range(5)] == ["once"] * 4 + ["end"]


def test_access_control_does_not_know_the_things_name(lite_probe: Probe) -> None:
    with pytest.raises(ProbeError, match="UnauthorizedError: None"):
        lite_probe.call("publish", topic="probe/thing-2/x", payload="")


def test_numbers_of_a_yaml_recipe_are_texts_and_those_of_a_deployment_are_numbers(lite_probe: Probe) -> None:
    assert lite_probe.call("get_configuration", path=["depth"]) == {"a": "1"}
    assert lite_probe.call("get_configuration", path=["number"]) == {"number": 7}


def test_the_client_keeps_what_belongs_to_answered_calls_as_nobody_ends_their_streams(
    lite_probe: Probe, probe: Probe
) -> None:
    assert lite_probe.call("kept_calls") >= 20
    assert probe.call("kept_calls") < 10, "the classic nucleus ends them"


def test_a_reported_error_changes_nothing(lite_probe: Probe, lite_device: Device) -> None:
    lite_probe.call("report_error")
    assert lite_probe.call("get_configuration", path=["greeting"]) == {"greeting": "hello"}
    assert lite_device.state is ComponentState.RUNNING


def test_refused_credentials_are_null_which_botocore_stumbles_over(
    lite_probe: Probe, lite_device: Device, aws: EmbeddedAws
) -> None:
    key = "federations/f/updates/00000001/thing-2.safetensors"
    lite_device.refuse_credentials()
    with pytest.raises(ProbeError, match="TypeError"):
        lite_probe.call("put_object", bucket=BUCKET, key=key)
    lite_device.refuse_credentials(False)
    lite_probe.call("put_object", bucket=BUCKET, key=key)


def test_a_crash_of_the_token_exchange_service_stops_what_depends_on_it_until_it_is_started_again(
    lite_probe: Probe, lite_device: Device, lite_control: Control
) -> None:
    before = lite_probe.call("environment")["variables"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    lite_device.crash_token_exchange()
    assert lite_device.state is ComponentState.STOPPED
    assert not psutil.pid_exists(lite_probe.pid)
    lite_device.start_components()
    variables = lite_control.accept().call("environment")["variables"]
    assert variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] != before
    assert variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == variables["SVCUID"]


def test_a_restart_of_the_nucleus_forgets_a_component_that_lives_on(
    lite_probe: Probe, lite_device: Device, lite_control: Control
) -> None:
    lite_device.restart_nucleus()
    assert lite_device.pid == lite_probe.pid
    with pytest.raises(ProbeError):
        lite_probe.call("get_configuration", path=["greeting"])
    for _ in range(2):
        with pytest.raises(ProbeError):
            lite_probe.call("connect_as", svcuid=lite_probe.svcuid)
    lite_probe.tell("exit", status=75)
    restarted = lite_control.accept()
    assert restarted.svcuid != lite_probe.svcuid
    assert restarted.call("get_configuration", path=["greeting"]) == {"greeting": "hello"}


def test_a_restart_of_the_classic_nucleus_restarts_the_component(
    probe: Probe, device: Device, control: Control
) -> None:
    device.restart_nucleus()
    assert control.accept().pid != probe.pid
