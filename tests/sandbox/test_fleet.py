import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sandbox import fleet as fleet_module
from sandbox.built_component import BuiltComponent, ComponentNotBuiltError
from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Access, ComponentBrokenError, DevicesOfflineError, Fleet
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.nucleus.nucleus import PoweredOffError
from sandbox.nucleus.personality import CLASSIC, LITE
from sandbox.scratch import Scratch
from tests.sandbox.probe import NAME, build


@pytest.fixture
def own_scratch() -> Iterator[Scratch]:
    with Scratch() as made:
        yield made


def test_every_device_is_a_connected_member_of_the_group_with_a_certificate_of_its_own(
    aws: EmbeddedAws, own_scratch: Scratch, access: Access, tmp_path: Path
) -> None:
    component = build(tmp_path, {"run": "exec sleep 600"})
    things = {f"fleet-{number}": {"number": number} for number in range(4)}
    with Fleet(aws, own_scratch, own_scratch.path / "devices", component, access, things) as fleet:
        for device in fleet.devices.values():
            device.wait_connected()
            device.wait_for(ComponentState.RUNNING)
        fleet.check()
        members = aws.client("iot").list_things_in_thing_group(thingGroupName=access.thing_group)["things"]
        assert things.keys() <= set(members)
        principals = [aws.client("iot").list_thing_principals(thingName=thing)["principals"] for thing in things]
        assert len({principal for (principal,) in principals}) == 4
        pids = [device.pid for device in fleet.devices.values()]
    assert len(set(pids)) == 4
    assert not list(own_scratch.path.rglob("*.socket"))
    with pytest.raises(RuntimeError):
        fleet.devices["fleet-0"].wait_connected()


SCRIPT = """
cat "{artifacts:decompressedPath}/archive/inside.txt"
echo "{configuration:/greeting}"
echo $ ${HOME}
"""


def test_each_nucleus_unpacks_archives_and_fills_in_scripts_in_its_own_way(
    aws: EmbeddedAws, own_scratch: Scratch, access: Access, tmp_path: Path
) -> None:
    component = build(tmp_path, {"run": SCRIPT}, archive={"inside.txt": "unpacked\n"})
    things = {"one": {"greeting": '"$1" said'}, "two": {"greeting": '"$1" said'}}
    nuclei = (CLASSIC, LITE)
    with Fleet(aws, own_scratch, own_scratch.path / "devices", component, access, things, nuclei=nuclei) as fleet:
        logs = []
        for device in fleet.devices.values():
            device.wait_for(ComponentState.FINISHED)
            logs.append(device.log_path.read_text().splitlines())
        home = str(fleet.devices["one"].directory / "home-that-is-not-there")
    assert logs[0] == ["unpacked", " said", f"$ {home}"]
    assert "No such file" in logs[1][0]
    assert logs[1][1:] == ['"$1" said', "$ $"], "cut before the brace, and run as far as that"


def test_a_device_that_is_off_says_so(aws: EmbeddedAws, own_scratch: Scratch, access: Access, tmp_path: Path) -> None:
    component = build(tmp_path, {"run": "exec sleep 600"})
    with Fleet(aws, own_scratch, own_scratch.path / "devices", component, access, {"off": {}}) as fleet:
        device = fleet.devices["off"]
        device.power_off()
        for reach in (device.cut_connection, device.restart_nucleus):
            with pytest.raises(PoweredOffError, match="off is off"):
                reach()
        assert device.pid is None


def test_a_component_that_always_fails_is_told_with_its_log(
    aws: EmbeddedAws, own_scratch: Scratch, access: Access, tmp_path: Path
) -> None:
    component = build(tmp_path, {"run": "echo no data here; exit 1"})
    with Fleet(aws, own_scratch, own_scratch.path / "devices", component, access, {"broken": {}}) as fleet:
        fleet.devices["broken"].wait_for(ComponentState.BROKEN)
        with pytest.raises(ComponentBrokenError, match=r"fails on broken; .*\nno data here"):
            fleet.check()


def test_devices_that_may_not_connect_are_named(
    aws: EmbeddedAws, own_scratch: Scratch, access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "START_LIMIT_S", 1.0)
    nothing = {"Version": "2012-10-17", "Statement": []}
    aws.client("iot").create_policy(policyName="nothing", policyDocument=json.dumps(nothing))
    barred = msgspec.structs.replace(access, iot_policy="nothing")
    component = build(tmp_path, {"run": "exec sleep 600"})
    with pytest.raises(DevicesOfflineError, match=r"barred-1, barred-2; .* IoT policy nothing"):
        Fleet(
            aws, own_scratch, own_scratch.path / "devices", component, barred, {"barred-1": {}, "barred-2": {}}
        ).start()


def test_the_built_component_is_found_where_gdk_leaves_it(tmp_path: Path) -> None:
    with pytest.raises(ComponentNotBuiltError, match="build it first"):
        BuiltComponent.find(tmp_path, NAME)
    built = build(tmp_path, version="1.2.3")
    assert BuiltComponent.find(tmp_path, NAME) == built
