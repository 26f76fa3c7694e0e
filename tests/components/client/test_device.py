import os
from pathlib import Path

import pytest

from components.client import device
from protocol.messages import Hello, decode, encode


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A device without sensors, batteries or NetworkManager."""
    write(tmp_path, "proc/meminfo", "MemTotal: 2000 kB\nMemFree: 10 kB\nMemAvailable: 1000 kB\n")
    return tmp_path


@pytest.fixture
def network_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A busctl that answers with what is written there."""
    answer = tmp_path / "answer"
    command = tmp_path / "bin" / "busctl"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\ntest "$5" = Metered && cat {answer}\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    return answer


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def supply(root: Path, name: str, **fields: str) -> None:
    for field, value in fields.items():
        write(root, f"sys/class/power_supply/{name}/{field}", value + "\n")


def test_what_linux_does_not_tell_is_none(root: Path) -> None:
    state = device.read(root, root)
    assert state.memory_available_bytes == 1_024_000
    assert state.disk_available_bytes > 0
    assert state.cpu_count == os.cpu_count()
    assert state.local_time.tzinfo is not None
    assert (state.temperature_c, state.on_mains, state.battery_percent) == (None, None, None)


def test_this_very_machine_can_be_read() -> None:
    assert device.read(Path()).memory_available_bytes > 1_000_000


def test_the_hottest_zone_counts_and_one_that_tells_nothing_does_not(root: Path) -> None:
    for zone, text in enumerate(["48312", "61250", "", "nonsense"]):
        write(root, f"sys/class/thermal/thermal_zone{zone}/temp", text)
    assert device.read(root, root).temperature_c == 61.25


def test_a_battery_tells_its_charge_and_the_mains_that_they_are_there(root: Path) -> None:
    supply(root, "AC", type="Mains", online="1")
    supply(root, "BAT0", type="Battery", capacity="81", status="Charging")
    supply(root, "mouse", type="Battery", capacity="3", status="Discharging", scope="Device")
    state = device.read(root, root)
    assert (state.on_mains, state.battery_percent) == (True, 81.0)
    supply(root, "AC", online="0")
    assert device.read(root, root).on_mains is False


@pytest.mark.parametrize(("status", "on_mains"), [("Discharging", False), ("Full", True)])
def test_a_battery_alone_tells_by_what_it_does_whether_there_are_mains(root: Path, status: str, on_mains: bool) -> None:
    supply(root, "BAT0", type="Battery", capacity="81", status=status)
    assert device.read(root, root).on_mains is on_mains


@pytest.mark.parametrize(
    ("answer", "metered"), [("u 1", True), ("u 2", False), ("u 3", True), ("u 4", False), ("u 0", None), ("", None)]
)
def test_network_manager_tells_whether_the_network_is_metered(
    root: Path, network_manager: Path, answer: str, metered: bool | None
) -> None:
    network_manager.write_text(answer + "\n")
    assert device.read(root, root).metered is metered


@pytest.mark.parametrize(
    ("socket", "version", "nucleus"),
    [
        ("/greengrass/v2/ipc.socket", "2.14.3", "classic 2.14.3"),
        ("/run/greengrass/gg-ipc.socket", "2.6.0", "lite 2.6.0"),
        ("/run/greengrass/gg-ipc.socket", None, "lite"),
        ("/run/greengrass/gg-ipc.socket", "2.6.0\n", "lite"),
        ("/run/greengrass/gg-ipc.socket", "2" * 80, "lite"),
        (None, "2.6.0", None),
    ],
)
def test_a_hello_tells_which_nucleus_runs_it_as_far_as_that_can_be_told(
    monkeypatch: pytest.MonkeyPatch, socket: str | None, version: str | None, nucleus: str | None
) -> None:
    for variable, value in ((device.SOCKET_VARIABLE, socket), ("GGC_VERSION", version)):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    told = device.hello(3)
    assert told.nucleus == nucleus
    assert decode(encode(told), Hello) == told
