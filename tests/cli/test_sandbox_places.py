"""cli/sandboxes/place.py: what is known of a sandbox is true, however its process ended."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.sandboxes import background
from cli.sandboxes.place import Place, SandboxState, SandboxUpError
from tests.paths import ROOT

HOLDER = """
import sys
from cli.sandboxes.place import Place

with Place("trial").held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Place("trial")


@contextmanager
def held_by_another() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()


def state(pid: int, scratch: Path | str = "/nowhere/at-all") -> SandboxState:
    return SandboxState(name="trial", pid=pid, since=0.0, environment={"A": "b"}, scratch=str(scratch))


def test_a_name_that_nobody_has_taken_is_down(place: Place) -> None:
    assert place.condition() == "down"
    assert place.state() is None
    assert background.stop(place) is None
    assert not place.directory.exists()


def test_the_kernel_tells_who_has_it(place: Place) -> None:
    with held_by_another() as process:
        assert place.holder() == process.pid
        assert place.condition() == "starting"
        place.write(state(process.pid))
        assert place.condition() == "up"
        with pytest.raises(SandboxUpError, match="sandbox trial is up, or starting"), place.held():
            pytest.fail("two had it")
        process.kill()
        process.wait()
        assert place.holder() is None
        assert place.condition() == "killed"


def test_what_a_killed_one_has_written_is_not_taken_for_that_of_the_next(place: Place) -> None:
    place.directory.mkdir(parents=True)
    place.write(state(os.getpid()))
    with held_by_another():
        assert place.condition() == "starting"
        assert place.state() is None


def test_down_ends_the_process_that_has_it_and_no_other(place: Place) -> None:
    with held_by_another() as process, subprocess.Popen(["/bin/sleep", "600"]) as bystander:
        place.write(state(bystander.pid))
        background.stop(place)
        assert process.wait() != 0
        assert bystander.poll() is None
        bystander.kill()
    assert not place.directory.exists()


def test_what_a_reboot_has_left_is_removed(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "JANITOR_LIMIT_S", 0.0)
    scratch = tmp_path / "fedgrass-0badcafe"
    (scratch / "aws").mkdir(parents=True)
    place.directory.mkdir(parents=True)
    place.write(state(1, scratch))
    background.stop(place)
    assert not scratch.exists()
    assert not place.directory.exists()


def test_only_the_user_can_read_the_keys(place: Place) -> None:
    with place.held():
        place.write(state(os.getpid()))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (place.directory, *place.directory.iterdir())}
    assert modes == {"trial": 0o700, "lock": 0o600, "state.json": 0o600}


def test_a_sandbox_with_another_project_is_none_that_is_asked_for(tmp_path: Path) -> None:
    background.check_same(state(1), None)
    with pytest.raises(SandboxUpError, match="is up with no federation of a project"):
        background.check_same(state(1), tmp_path)
