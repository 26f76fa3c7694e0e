"""A real component process, with AWS's own client, on a device of the sandbox."""

import json
import sys
import threading
from pathlib import Path

import psutil
import pytest

from components.client.device import nucleus_of
from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus.lifecycle import ComponentState
from tests.sandbox.conftest import BUCKET
from tests.sandbox.probe import Control, Probe, ProbeError, build

SHADOW = "$aws/things/thing-1/shadow/name/fedgrass-f"


def test_a_message_from_aws_reaches_the_component(probe: Probe, aws: EmbeddedAws) -> None:
    probe.call("subscribe", topic=f"{SHADOW}/update/delta")
    aws.client("iot-data").update_thing_shadow(
        thingName="thing-1", shadowName="fedgrass-f", payload=json.dumps({"state": {"desired": {"round": 1}}})
    )
    message = probe.event("message")
    assert message["topic"] == f"{SHADOW}/update/delta"
    assert json.loads(message["payload"])["state"] == {"round": 1}


def test_a_named_shadow_is_read_and_updated_over_its_topics(probe: Probe, aws: EmbeddedAws) -> None:
    aws.client("iot-data").update_thing_shadow(
        thingName="thing-1", shadowName="fedgrass-g", payload=json.dumps({"state": {"desired": {"round": 3}}})
    )
    shadow = "$aws/things/thing-1/shadow/name/fedgrass-g"
    probe.call("subscribe", topic=f"{shadow}/get/accepted")
    probe.call("subscribe", topic=f"{shadow}/update/accepted")
    probe.call("publish", topic=f"{shadow}/get", payload="")
    message = probe.event("message")
    assert message["topic"] == f"{shadow}/get/accepted"
    assert json.loads(message["payload"])["state"]["delta"] == {"round": 3}
    probe.call("publish", topic=f"{shadow}/update", payload=json.dumps({"state": {"reported": {"round": 3}}}))
    assert probe.event("message")["topic"] == f"{shadow}/update/accepted"
    answer = aws.client("iot-data").get_thing_shadow(thingName="thing-1", shadowName="fedgrass-g")
    state = json.loads(answer["payload"].read())["state"]
    assert state == {"desired": {"round": 3}, "reported": {"round": 3}}


@pytest.mark.parametrize(
    ("call", "topic"),
    [("publish", "elsewhere"), ("publish", "probe/thing-2/x"), ("subscribe", "probe/+/x"), ("subscribe", "#")],
)
def test_a_topic_outside_the_recipes_rules_is_refused(probe: Probe, call: str, topic: str) -> None:
    payload = {"payload": "x"} if call == "publish" else {}
    with pytest.raises(ProbeError, match=r"UnauthorizedError: Principal com\.example\.Probe is not authorized"):
        probe.call(call, topic=topic, **payload)


def test_wrong_arguments_are_refused_as_the_nucleus_does(probe: Probe) -> None:
    with pytest.raises(ProbeError, match="InvalidArgumentsError: qos"):
        probe.call("publish", topic="probe/thing-1/x", payload="x", qos="2")
    with pytest.raises(ProbeError, match="InvalidArgumentsError: topic"):
        probe.call("publish", topic="probe/thing-1/+", payload="x")
    with pytest.raises(ProbeError, match="ServiceError: topic"):
        probe.call("publish", topic="probe/thing-1/" + "x" * 300, payload="x")


def test_an_operation_that_is_not_there_leaves_the_connection_usable(probe: Probe) -> None:
    with pytest.raises(ProbeError, match="ServiceError: GetThingShadow"):
        probe.call("get_thing_shadow")
    assert probe.call("get_configuration", path=["greeting"]) == {"greeting": "hello"}


def test_configuration_is_read_updated_and_watched(probe: Probe, device: Device) -> None:
    assert probe.call("get_configuration", path=["depth"]) == {"a": 1}
    with pytest.raises(ProbeError, match="ResourceNotFoundError"):
        probe.call("get_configuration", path=["nowhere"])
    probe.call("watch_configuration")
    probe.call("update_configuration", path=["depth"], value={"b": 2})
    assert probe.event("configuration")["path"] == ["depth", "b"]
    device.configure({"depth": {"a": 5}})
    assert probe.event("configuration")["path"] == ["depth", "a"]
    assert probe.call("get_configuration", path=["depth"]) == {"a": 5, "b": 2}
    with pytest.raises(ProbeError, match="InvalidArgumentsError"):
        probe.call("update_configuration", path=[], value={"accessControl": {}})


def test_the_component_gets_the_environment_of_a_device_and_no_more(
    probe: Probe, device: Device, aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = probe.call("environment")
    variables = found["variables"]
    assert variables["AWS_IOT_THING_NAME"] == "thing-1"
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == aws.region
    assert Path(variables["GG_ROOT_CA_PATH"]).read_text().startswith("-----BEGIN CERTIFICATE")
    assert variables["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"].endswith("/ipc.socket")
    assert variables["GGC_VERSION"].startswith("2.")
    assert nucleus_of(variables) == f"classic {variables['GGC_VERSION']}"
    assert not Path(variables["HOME"]).exists()
    assert "AWS_ACCESS_KEY_ID" not in variables
    assert aws.environment["AWS_SECRET_ACCESS_KEY"] not in variables.values()
    assert found["directory"] == str(device.directory / "work" / "com.example.Probe")
    assert found["arguments"] == ["thing-1", "hello"]


def test_the_component_finds_packages_but_not_the_checkout(probe: Probe) -> None:
    assert "awsiot" in probe.call("import_module", module="awsiot")
    with pytest.raises(ProbeError, match="No module named 'sandbox'"):
        probe.call("import_module", module="sandbox")


def test_device_credentials_reach_the_devices_own_names_only(probe: Probe, aws: EmbeddedAws) -> None:
    model = "federations/f/models/00000001.safetensors"
    updates = "updates/f/00000001"
    aws.client("s3").put_object(Bucket=BUCKET, Key=model, Body=b"model")
    probe.call("put_object", bucket=BUCKET, key=f"{updates}/thing-1.safetensors")
    assert probe.call("get_object", bucket=BUCKET, key=model) == "model"
    for key in (f"{updates}/thing-2.safetensors", model, f"{updates}/thing-1.safetensors/thing-2.safetensors"):
        with pytest.raises(ProbeError, match="AccessDenied"):
            probe.call("put_object", bucket=BUCKET, key=key)
    with pytest.raises(ProbeError, match="AccessDenied"):
        probe.call("get_object", bucket=BUCKET, key=f"{updates}/thing-1.safetensors")


def test_a_component_that_dies_is_restarted_as_another(probe: Probe, device: Device, control: Control) -> None:
    probe.tell("exit", status=3)
    restarted = control.accept()
    assert restarted.pid != probe.pid
    assert restarted.svcuid != probe.svcuid
    with pytest.raises(ProbeError):
        restarted.call("connect_as", svcuid=probe.svcuid)
    restarted.call("connect_as", svcuid=restarted.svcuid)
    device.kill_component()
    assert control.accept().pid not in {probe.pid, restarted.pid}


def test_a_component_that_reports_an_error_is_restarted(probe: Probe, control: Control) -> None:
    probe.tell("report_error")
    assert control.accept().svcuid != probe.svcuid


def test_exit_status_0_is_the_end(probe: Probe, device: Device) -> None:
    probe.tell("exit", status=0)
    assert device.wait_for(ComponentState.FINISHED) is ComponentState.FINISHED
    assert device.pid is None


def test_the_third_error_is_the_last(probe: Probe, device: Device, control: Control) -> None:
    probe.tell("exit", status=1)
    control.accept().tell("exit", status=1)
    control.accept().tell("exit", status=1)
    device.wait_for(ComponentState.BROKEN)
    assert device.pid is None


def test_a_power_cut_leaves_no_process_and_the_device_boots_again(
    probe: Probe, device: Device, control: Control
) -> None:
    child = psutil.Process(probe.call("fork"))
    (device.directory / "work" / "com.example.Probe" / "kept").touch()
    device.power_off()
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running()
    assert not psutil.pid_exists(probe.pid)
    device.power_on()
    restarted = control.accept()
    assert restarted.call("environment")["directory"] == str(device.directory / "work" / "com.example.Probe")
    assert (device.directory / "work" / "com.example.Probe" / "kept").exists()


def test_what_is_published_without_a_line_is_sent_when_it_is_back(probe: Probe, device: Device) -> None:
    probe.call("subscribe", topic="probe/thing-1/echo")
    device.cut_connection()
    for number in range(3):
        probe.call("publish", topic="probe/thing-1/echo", payload=str(number))
    with pytest.raises(ProbeError, match="ServiceError: no connection"):
        probe.call("publish", topic="probe/thing-1/echo", payload="not kept", qos="0")
    device.restore_connection()
    assert sorted(probe.event("message")["payload"] for _ in range(3)) == ["0", "1", "2"]


def test_the_component_hears_how_the_line_is(probe: Probe, device: Device) -> None:
    probe.call("watch_connection")
    assert probe.event("connection")["status"] == "CONNECTED"
    device.cut_connection()
    assert probe.event("connection")["status"] == "DISCONNECTED"
    device.restore_connection()
    assert probe.event("connection")["status"] == "CONNECTED"


def test_an_update_waits_for_the_component_that_defers_it(
    probe: Probe, device: Device, control: Control, tmp_path: Path
) -> None:
    probe.call("watch_updates")
    update = threading.Thread(target=device.deploy, args=(build(tmp_path, version="2.0.0"),))
    update.start()
    deployment = probe.event("update")["deployment"]
    probe.call("defer", deployment=deployment, recheck_after_ms=1)
    assert probe.event("update")["deployment"] == deployment
    assert device.pid == probe.pid
    probe.tell("defer", deployment=deployment, recheck_after_ms=0)
    updated = control.accept()
    update.join()
    assert "/2.0.0" in updated.call("environment")["variables"]["PYTHONPATH"]
    assert updated.call("get_configuration", path=["greeting"]) == {"greeting": "hello"}
    device.deploy(build(tmp_path / "again"))


def test_the_components_python_has_this_pythons_version(probe: Probe) -> None:
    module = probe.call("import_module", module="json")
    assert f"python{sys.version_info.major}.{sys.version_info.minor}" in module
