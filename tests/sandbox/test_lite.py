"""A real component process, with AWS's own client, on a device with nucleus lite: what is different there."""

import base64
import contextlib
import json
import queue
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from components.client.device import nucleus_of
from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus import mqtt
from sandbox.nucleus.eventstream import Frame, MessageType
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.nucleus.nucleus import OneProcessError
from tests.sandbox.conftest import BUCKET
from tests.sandbox.probe import Control, Probe, ProbeError
from tests.sandbox.raw import Answer, RawComponent

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
    assert nucleus_of(variables) == f"lite {variables['GGC_VERSION']}"


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


def test_a_subscription_is_answered_before_the_broker_has_heard_of_it(
    lite_probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mqtt, "SUBSCRIBE_DELAY_S", 1e6)  # longer than whatever the test may take
        lite_probe.call("subscribe", topic=ECHO)
        lite_probe.call("publish", topic=ECHO, payload="too early")
    subscribe(lite_probe, ECHO)
    lite_probe.call("publish", topic=ECHO, payload="heard")
    assert next(messages(lite_probe))["payload"] == "heard"


def test_a_large_message_from_the_broker_never_arrives_and_nobody_is_told(lite_probe: Probe) -> None:
    subscribe(lite_probe, ECHO)
    for size in (5_000, 4_900, 1, 2, 3):
        lite_probe.call("publish", topic=ECHO, payload="x" * size)
    arrived = messages(lite_probe)
    assert sorted(len(next(arrived)["payload"]) for _ in range(4)) == [1, 2, 3, 4_900]


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
    arrived = messages(lite_probe)
    assert [next(arrived)["payload"] for _ in range(4)] == ["once"] * 4


def test_access_control_does_not_know_the_things_name(lite_probe: Probe) -> None:
    with pytest.raises(ProbeError, match="UnauthorizedError: None"):
        lite_probe.call("publish", topic="probe/thing-2/x", payload="")


PUBLISH, UPDATE_STATE = "PublishToIoTCore", "UpdateState"
MESSAGE = {"topicName": ECHO, "qos": "1", "payload": base64.b64encode(b"heard").decode()}


@pytest.mark.parametrize("lacks", ["qos", "payload"])
def test_a_message_may_lack_its_quality_of_service_or_its_payload(lite_probe: Probe, lacks: str) -> None:
    subscribe(lite_probe, ECHO)
    with RawComponent(lite_probe) as raw:
        answer = raw.ask(PUBLISH, {key: value for key, value in MESSAGE.items() if key != lacks})
    assert answer == Answer("PublishToIoTCoreResponse", {})
    assert next(messages(lite_probe))["payload"] == ("" if lacks == "payload" else "heard")


def test_quality_of_service_2_is_taken(lite_probe: Probe) -> None:
    with RawComponent(lite_probe) as raw:
        assert raw.ask(PUBLISH, MESSAGE | {"qos": "2"}).model == "PublishToIoTCoreResponse"


def test_what_is_published_to_a_wildcard_is_taken_and_costs_the_connection_to_the_broker(
    lite_probe: Probe, lite_device: Device
) -> None:
    with RawComponent(lite_probe) as raw:
        assert raw.ask(PUBLISH, MESSAGE | {"topicName": "probe/thing-2/lite/+"}).model == "PublishToIoTCoreResponse"
        while (answer := raw.ask(PUBLISH, MESSAGE)).model != "ServiceError":
            pass
    assert "no connection" in answer.body["_message"]
    lite_device.wait_connected()


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        (PUBLISH, MESSAGE | {"payload": "no base64!"}),
        (PUBLISH, {"qos": "1", "payload": ""}),
        ("SubscribeToIoTCore", {"qos": "1"}),
        (UPDATE_STATE, {"state": "BOGUS"}),
        (PUBLISH, b"no JSON"),
        ("NoOperation", {}),
    ],
)
def test_whatever_is_wrong_is_a_service_error_and_the_connection_stays_usable(
    lite_probe: Probe, operation: str, request_: dict[str, Any] | bytes
) -> None:
    with RawComponent(lite_probe) as raw:
        answer = raw.ask(operation, request_)
        assert (answer.model, answer.body["_errorCode"]) == ("ServiceError", "ServiceError")
        assert "message" not in answer.body
        assert raw.ask("GetConfiguration", {"keyPath": ["greeting"]}).body["value"] == {"greeting": "hello"}


def test_a_ping_costs_the_connection(lite_probe: Probe) -> None:
    with RawComponent(lite_probe) as raw:
        raw.send(Frame(type=MessageType.PING))
        assert raw.receive() is None


def test_a_refusal_says_neither_who_nor_what(lite_probe: Probe) -> None:
    with RawComponent(lite_probe) as raw:
        answer = raw.ask(PUBLISH, MESSAGE | {"topicName": "elsewhere"})
    assert (answer.model, answer.body["_message"]) == ("UnauthorizedError", "IPC Operation not authorized.")


def test_sixty_small_messages_at_once_are_all_taken(lite_probe: Probe) -> None:
    with RawComponent(lite_probe) as raw:
        answers = raw.ask_at_once(PUBLISH, [MESSAGE] * 60)
    assert {answer.model for answer in answers} == {"PublishToIoTCoreResponse"}


def test_a_component_has_one_token_of_16_characters_for_all_its_processes_until_the_nucleus_restarts(
    lite_probe: Probe, lite_device: Device, lite_control: Control
) -> None:
    assert len(lite_probe.svcuid) == 16
    lite_probe.tell("exit", status=1)
    again = lite_control.accept()
    assert (again.svcuid, again.pid != lite_probe.pid) == (lite_probe.svcuid, True)
    again.call("connect_as", svcuid=lite_probe.svcuid)
    lite_device.restart_nucleus()
    again.tell("exit", status=1)
    assert lite_control.accept().svcuid != lite_probe.svcuid


def test_a_restart_of_the_mqtt_daemon_silences_subscriptions_without_ending_them(
    lite_probe: Probe, lite_device: Device
) -> None:
    subscribe(lite_probe, ECHO)
    lite_device.restart_mqtt_daemon()
    lite_device.wait_connected()
    lite_probe.call("publish", topic=ECHO, payload="not heard")
    subscribe(lite_probe, ECHO)
    lite_probe.call("publish", topic=ECHO, payload="heard")
    assert next(messages(lite_probe))["payload"] == "heard", "and once: the old stream is silent"
    lite_probe.call("publish", topic=ECHO, payload="end")
    assert next(messages(lite_probe))["payload"] == "end"


def test_a_restart_of_the_configuration_daemon_silences_who_watches_the_configuration(
    lite_probe: Probe, lite_device: Device
) -> None:
    lite_probe.call("watch_configuration")
    lite_device.restart_configuration_daemon()
    lite_device.configure({"depth": {"a": "not told"}})
    assert lite_probe.call("get_configuration", path=["depth"]) == {"a": "not told"}
    lite_probe.call("watch_configuration")
    lite_device.configure({"depth": {"a": "1"}})
    assert lite_probe.event("configuration")["path"] == ["depth", "a"], "and once: the old stream is silent"
    lite_device.configure({"greeting": "hello again"})
    assert lite_probe.event("configuration")["path"] == ["greeting"]
    lite_device.configure({"greeting": "hello"})


def test_the_classic_nucleus_has_no_daemons_to_restart(device: Device) -> None:
    for restart in (device.restart_mqtt_daemon, device.restart_configuration_daemon):
        with pytest.raises(OneProcessError, match="thing-1 is one process"):
            restart()


def test_messages_on_a_line_that_is_dead_are_taken_and_lost(lite_probe: Probe, lite_device: Device) -> None:
    subscribe(lite_probe, ECHO)
    lite_device.kill_line()
    with pytest.raises(ProbeError, match="ServiceError"):
        while True:  # until it is noticed
            lite_probe.call("publish", topic=ECHO, payload="lost")
    lite_device.restore_connection()
    lite_device.wait_connected()
    lite_probe.call("publish", topic=ECHO, payload="sent")
    assert next(messages(lite_probe))["payload"] == "sent"


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
    key = "updates/f/00000001/thing-2.safetensors"
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
