"""What com.fedgrass.Runtime looks at before it installs anything, and what it leaves of a try that failed."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.runtime import check_device, hash_requirements
from components.runtime.install_wheels import INTERRUPTED, REFUSED
from tests.components.installing import RUNTIME, Device

MACHINE = platform.machine()


def test_nothing_is_in_the_way_here(tmp_path: Path) -> None:
    assert check_device.obstacle("cpu", tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"NEEDED_MB": {("cpu", "riscv64"): 1}}, [f"no torch: cpu for {MACHINE}, but cpu on riscv64", "set python"]),
        ({"NEWEST_PYTHON": (3, 10)}, ["there are wheels up to Python 3.10: install 3.10", "set python"]),
        ({"OLDEST_GLIBC": (9, 1)}, ["the C library is glibc 2.", "need glibc 9.1 or newer", "set python"]),
        ({"NEEDED_MB": {("cpu", MACHINE): 10**9}}, ["the installation needs 1000000000 MB in ", "MB are free"]),
    ],
)
def test_an_obstacle_is_told_with_its_value_and_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, object], told: list[str]
) -> None:
    for name, value in changes.items():
        monkeypatch.setattr(check_device, name, value)
    found = check_device.obstacle("cpu", tmp_path)
    assert found is not None
    assert all(part in found for part in told), found


def test_what_an_earlier_try_brought_counts_for_the_room_that_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "part").open("wb") as file:
        file.write(os.urandom(3_000_000))
    os.sync()
    monkeypatch.setattr(check_device, "NEEDED_MB", {("cpu", MACHINE): 10**9})
    found = check_device.obstacle("cpu", tmp_path)
    assert found is not None
    assert "needs 999999997 MB" in found


def test_the_newest_python_is_the_one_that_has_hashes() -> None:
    assert hash_requirements.PYTHONS[-1] == ".".join(map(str, check_device.NEWEST_PYTHON))


def test_cuda_is_for_x86_64_and_has_a_list_of_its_own(device: Device) -> None:
    assert {machine for torch, machine in check_device.NEEDED_MB if torch == "cuda"} == {"x86_64"}
    device.torch = "rocm"
    run = device.install("grass==1.0\n")
    assert (run.returncode, run.stderr) == (1, "torch of the configuration is 'rocm': it can be cpu or cuda\n")


@pytest.mark.parametrize("key", ["python", "wheelhouse"])
def test_a_path_that_depends_on_where_it_is_read_is_refused(device: Device, key: str) -> None:
    setattr(device, key, "opt/wheels")
    run = device.install("grass==1.0\n")
    assert run.returncode == 1
    assert "begin with /; one is 'opt/wheels'" in run.stderr


# --- an environment of one's own ---


def test_the_operators_own_python_is_used_as_it_is(device: Device, tmp_path: Path) -> None:
    own = tmp_path / "it's mine" / "python"
    own.parent.mkdir()
    own.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    own.chmod(0o755)
    device.provide_python("exit 9")  # that of the system has no say
    device.python = str(own)
    run = device.install("numpy==1.0\n# of the task\npytest==1.0\n")
    assert run.returncode == 0, run.stderr
    assert f"{sys.executable} is used with numpy " in run.stdout
    assert " (not 1.0)" in run.stdout
    linked = [str(device.work / "venv" / "bin" / "python"), "-c", "import sys, msgspec; print(sys.executable)"]
    assert subprocess.run(linked, capture_output=True, text=True, check=True).stdout.strip() == sys.executable
    assert not device.kept()


def test_what_the_own_python_lacks_is_told_and_the_environment_before_stays(device: Device) -> None:
    device.copy_environments()
    device.offer("grass", "1.0")
    assert device.install("grass==1.0\n").returncode == 0
    device.python = str(device.made / "bin" / "python")
    run = device.install("grass==1.0\n# of the task\nheather==1.0\n")
    assert run.returncode == 1
    for lacking in ("awsiotsdk (No module named 'awsiot')", "torch (No module", "heather (1.0 is asked for)"):
        assert lacking in run.stderr
    assert "or leave python empty" in run.stderr
    assert device.version("grass") == "1.0"


@pytest.mark.parametrize("name", ["", "missing"])
def test_an_own_python_that_can_not_be_run_is_told(device: Device, name: str) -> None:
    device.python = str(device.made / name)
    run = device.install("grass==1.0\n")
    assert run.returncode == 1
    assert f"python of the configuration is '{device.python}', which " in run.stderr
    assert "name the program, such as /opt/venv/bin/python" in run.stderr


# --- what is left ---


@pytest.mark.parametrize(("status", "left"), [(REFUSED, False), (INTERRUPTED, True), (137, True)])
def test_a_try_that_could_not_succeed_leaves_nothing_and_one_that_was_cut_off_is_gone_on_with(
    device: Device, tmp_path: Path, status: int, left: bool
) -> None:
    device.copy_environments()
    for name in ("install.sh", "check_device.py"):
        shutil.copy(RUNTIME / name, tmp_path)
    (tmp_path / "install_wheels.py").write_text(
        f"import pathlib, sys\npathlib.Path(sys.argv[2]).mkdir()\nsys.exit({status})\n"
    )
    device.requirements.write_text("grass==1.0\n")
    arguments = [tmp_path / "install.sh", device.artifacts, device.work, "cpu", "", "", "", "", ""]
    command = ["/bin/sh", *map(str, arguments)]
    run = subprocess.run(command, env=device.environment, capture_output=True, text=True, check=False)
    assert run.returncode == status, run.stderr
    assert bool(list(device.work.iterdir())) is left
