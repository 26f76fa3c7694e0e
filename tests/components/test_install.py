"""com.fedgrass.Runtime's install.sh, with real pip and real virtual environments."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.runtime.install_wheels import CHUNK_BYTES, WAITS_S, Installation, InstallError
from sandbox.package_index import PackageIndex, write_wheel
from tests.components.installing import LARGE, LIMIT_S, Device, kill, wait_until_kept, with_hashes


def test_the_same_requirements_are_installed_once(device: Device) -> None:
    device.copy_environments()
    device.offer("grass", "1.0")
    first = device.install("grass==1.0\n")
    assert first.returncode == 0, first.stderr
    assert device.version("grass") == "1.0"

    shutil.rmtree(device.index)
    again = device.install("grass==1.0\n")
    assert (again.returncode, again.stdout) == (0, "")
    assert device.version("grass") == "1.0"


def test_an_install_that_is_cut_short_leaves_the_environment_before_and_is_made_good_later(device: Device) -> None:
    device.copy_environments()
    device.offer("grass", "1.0")
    device.install("grass==1.0\n")
    before = device.environments()

    failed = device.install("grass==2.0\n")
    assert failed.returncode != 0
    assert "No matching distribution found for grass==2.0" in failed.stderr
    assert "there are 1.0" in failed.stderr
    assert device.version("grass") == "1.0"
    assert device.environments() == before

    device.offer("grass", "2.0")
    mended = device.install("grass==2.0\n")
    assert mended.returncode == 0, mended.stderr
    assert device.version("grass") == "2.0"

    shutil.rmtree(device.index)
    rolled_back = device.install("grass==1.0\n")
    assert rolled_back.returncode == 0, "the environment before is kept for a rollback"
    assert device.version("grass") == "1.0"
    assert before <= device.environments()


def test_a_python_that_is_too_old_is_named(device: Device) -> None:
    device.provide_python('[ "$1" = --version ] && echo "Python 3.9.2"; exit 1')
    run = device.install("grass==1.0\n")
    assert run.returncode == 1
    assert run.stderr == "fedgrass needs python3 to be Python 3.11 or newer; it is 'Python 3.9.2'\n"
    assert not device.environments()


def test_a_python_without_venv_is_told_and_nothing_of_the_attempt_is_used_later(device: Device) -> None:
    device.offer("grass", "1.0")
    device.provide_python(
        f'[ "$2" = -m ] && {{ mkdir -p "$4/bin"; echo "install the python3-venv package"; exit 1; }}; '
        f'exec "{sys.executable}" "$@"'
    )
    run = device.install("grass==1.0\n")
    assert run.returncode == 1
    assert "install the python3-venv package" in run.stdout

    device.copy_environments()
    run = device.install("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert device.version("grass") == "1.0"


# --- on a line ---


def test_a_killed_download_goes_on_where_it_was_and_what_is_installed_is_not_asked_for_again(
    device: Device, index: PackageIndex
) -> None:
    device.copy_environments()
    small, large = index.offer("grass", "1.0"), index.offer("meadow", "1.0", LARGE)
    index.held_up[large] = LARGE // 2
    process = device.start("grass==1.0\nmeadow==1.0\n")
    assert index.reached.wait(LIMIT_S)
    wait_until_kept(device, large, LARGE // 2)
    kill(process)
    got = device.kept()[large]
    assert LARGE // 2 - CHUNK_BYTES <= got <= LARGE // 2
    assert not (device.work / "venv").exists()

    run = device.install("grass==1.0\nmeadow==1.0\n")
    assert run.returncode == 0, run.stderr
    assert index.asked == [(small, None), (large, None), (large, f"bytes={got}-")]
    assert (device.version("grass"), device.version("meadow")) == ("1.0", "1.0")
    assert {path.name for path in device.work.iterdir()} == device.environments() | {"venv"}


def test_an_interrupt_ends_it_like_a_kill_and_takes_nothing_away(device: Device, index: PackageIndex) -> None:
    device.copy_environments()
    large = index.offer("meadow", "1.0", LARGE)
    index.offer("grass", "1.0")
    index.held_up[large] = LARGE // 2
    process = device.start("grass==1.0\nmeadow==1.0\n")
    assert index.reached.wait(LIMIT_S)
    wait_until_kept(device, large, LARGE // 2)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == -signal.SIGINT
    assert large in device.kept()
    (environment,) = device.environments()
    assert device.version("grass", device.work / environment) == "1.0"


def test_a_line_that_breaks_off_is_gone_on_with_in_the_same_try(device: Device, index: PackageIndex) -> None:
    file = index.offer("grass", "1.0", LARGE)
    index.cuts[file] = LARGE // 2
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert len(index.asked) == 3
    assert index.sent == index.size(file)
    assert "cannot download grass-1.0-py3-none-any.whl: " in run.stderr


@pytest.mark.parametrize("length", [1000, LARGE * 2])
def test_a_beginning_of_another_file_is_dropped(device: Device, index: PackageIndex, length: int) -> None:
    file = index.offer("grass", "1.0", LARGE)
    (device.work / "wheels").mkdir()
    (device.work / "wheels" / file).write_bytes(b"x" * length)
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert index.asked == [(file, f"bytes={length}-"), (file, None)]


def test_a_wheel_that_was_whole_when_it_was_cut_off_is_not_asked_for_again(device: Device, index: PackageIndex) -> None:
    file = index.offer("grass", "1.0", LARGE)
    (device.work / "wheels").mkdir()
    with (device.work / "wheels" / file).open("wb") as wheel:
        write_wheel(wheel, "grass", "1.0", LARGE)
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert index.asked == []


def test_an_index_that_knows_no_ranges_gives_all_of_it_again(device: Device, index: PackageIndex) -> None:
    file = index.offer("grass", "1.0", LARGE)
    index.ranges = False
    (device.work / "wheels").mkdir()
    (device.work / "wheels" / file).write_bytes(b"x" * 1000)
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert index.sent == index.size(file)


def test_a_wheel_that_is_not_the_one_of_the_list_is_refused(device: Device, index: PackageIndex) -> None:
    file = index.offer("grass", "1.0", LARGE)
    index.spoilt.add(file)
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == 1
    assert f"/files/{file} gives has none of the hashes that it should have, {{'sha256': " in run.stderr
    assert device.kept() == {}
    assert not (device.made / "installed" / "grass==1.0").exists()


def test_hashes_in_the_list_go_before_those_of_the_index(device: Device, index: PackageIndex) -> None:
    index.offer("grass", "1.0")
    run = device.install_wheels(f"grass==1.0 --hash=sha256:{'0' * 64}\n")
    assert run.returncode == 1
    assert "0" * 64 in run.stderr


def test_two_tries_at_the_same_time_wait_for_each_other(device: Device, index: PackageIndex) -> None:
    device.copy_environments()
    file = index.offer("grass", "1.0", LARGE)
    index.held_up[file] = LARGE // 2
    first = device.start("grass==1.0\n")
    assert index.reached.wait(LIMIT_S)
    second = device.start("grass==1.0\n")
    assert second.stderr is not None
    assert second.stderr.readline() == "another installation is under way: waiting for its end\n"
    index.released.set()
    for process in (first, second):
        _, error = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, error
    assert index.asked == [(file, None)]
    assert device.version("grass") == "1.0"


def test_what_an_installation_was_killed_in_the_middle_of_is_installed_anew(device: Device) -> None:
    """pip takes a package for installed as soon as it finds its METADATA."""
    device.offer("clover", "1.0")
    (packages,) = device.made.glob("lib/python*/site-packages")
    half = packages / "clover-1.0.dist-info"
    half.mkdir()
    (half / "METADATA").write_text("Metadata-Version: 2.1\nName: clover\nVersion: 1.0\n")
    (packages / "clover.py").touch()

    run = device.install_wheels("clover==1.0\n")
    assert run.returncode == 0, run.stderr
    assert device.version("clover", device.made) == "1.0"
    assert (half / "RECORD").exists()


def test_a_full_disk_is_told_and_leaves_what_is_whole(device: Device, index: PackageIndex) -> None:
    small, large = index.offer("grass", "1.0"), index.offer("meadow", "1.0", 4_000_000)
    run = device.install_wheels("grass==1.0\nmeadow==1.0\n", before="ulimit -f 6000; ")  # blocks of 512 bytes
    assert run.returncode == 1
    assert "cannot install meadow==1.0: [Errno 27] File too large; " in run.stderr
    assert "MB are free" in run.stderr
    assert device.kept() == {large: 6000 * 512}

    run = device.install_wheels("grass==1.0\nmeadow==1.0\n")
    assert run.returncode == 0, run.stderr
    assert device.version("meadow", device.made) == "1.0"
    assert index.asked == [(small, None), (large, None), (large, f"bytes={6000 * 512}-")]
    assert device.kept() == {}


def test_a_wheel_that_is_larger_than_the_disk_is_not_begun(device: Device, index: PackageIndex) -> None:
    file = index.offer("grass", "1.0")
    index.claimed_bytes = 10**15
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == 1
    assert f"{file} needs 1000000000 MB more, and " in run.stderr
    assert device.kept() == {}


def test_hashes_in_the_list_hold_for_a_wheel_on_the_disk(device: Device) -> None:
    device.offer("grass", "1.0")
    run = device.install_wheels(f"grass==1.0 --hash=sha256:{'0' * 64}\n")
    assert run.returncode == 1
    assert "has none of the hashes" in run.stderr


# --- where others have a say ---


@pytest.mark.parametrize(
    "requirements",
    [
        "grass==1.0 # no hash\n",
        "meadow==1.0\ngrass==1.0 ; python_version < '3' # no hash, and not for this device\n",
        f"grass --hash=sha256:{'0' * 64}\n",
        f"grass>=1.0 --hash=sha256:{'0' * 64}\n",
        f"grass @ http://127.0.0.1:1/grass-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n",
        f"grass==1.0 --hash=md5:{'0' * 32}\n",
    ],
)
def test_a_list_that_leaves_open_what_is_installed_is_refused_before_anything_is(
    device: Device, index: PackageIndex, requirements: str
) -> None:
    for name in ("grass", "meadow"):
        index.offer(name, "1.0")
    run = device.install_wheels(requirements)
    assert run.returncode != 0
    assert "grass" in run.stderr or "md5" in run.stderr
    assert index.asked == []


@pytest.fixture
def stranger() -> Iterator[PackageIndex]:
    """An index with a newer version of everything, and another file under the name of the one that is asked for."""
    served = PackageIndex()
    served.offer("grass", "1.0", 1)
    served.offer("grass", "9.0")
    yield served
    served.close()


@pytest.mark.parametrize("option", ["index-url", "extra-index-url", "find-links"])
@pytest.mark.parametrize("by", ["variable", "user", "machine"])
def test_what_pip_is_told_on_the_device_does_not_count(
    device: Device, index: PackageIndex, stranger: PackageIndex, tmp_path: Path, option: str, by: str
) -> None:
    file = index.offer("grass", "1.0")
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("grass==9.0\n")
    configuration = tmp_path / "xdg" / "pip" / "pip.conf"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(
        f"[global]\n{option} = {stranger.url}\nconstraint = {constraints}\ntarget = {tmp_path / 'target'}\n"
    )
    device.hostile = {
        "variable": {
            f"PIP_{option.upper().replace('-', '_')}": stranger.url,
            "PIP_CONSTRAINT": str(constraints),
            "PIP_TARGET": str(tmp_path / "target"),
            "PIP_REQUIREMENT": str(constraints),
        },
        "user": {"XDG_CONFIG_HOME": str(tmp_path / "xdg")},
        "machine": {"XDG_CONFIG_DIRS": str(tmp_path / "xdg")},
    }[by]
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert device.version("grass", device.made) == "1.0"
    assert index.asked == [(file, None)]
    assert stranger.asked == []
    assert not (tmp_path / "target").exists()


def test_what_lies_in_the_work_directory_is_not_run(device: Device) -> None:
    device.offer("grass", "1.0")
    for module in ("fcntl", "venv", "pip", "sysconfig", "zipfile", "hashlib", "sitecustomize"):
        (device.work / f"{module}.py").write_text("raise SystemExit('hijacked')\n")
    device.hostile = {"PYTHONPATH": str(device.work), "PYTHONSTARTUP": str(device.work / "pip.py")}
    run = device.install("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert device.version("grass") == "1.0"


# --- without one ---


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def installation(
    device: Device, tmp_path: Path, closed_port: int, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> Installation:
    """Of grass 1.0, from an index that is not there, in this process: waits take no time."""
    device.index_url = f"http://127.0.0.1:{closed_port}/simple"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # which it sets
    device.requirements.write_text(with_hashes("grass==1.0\n"))
    return Installation(tmp_path, device.requirements, tmp_path / "wheels", device.index_url, sleep=waits.append)


def test_an_index_that_cannot_be_reached_is_asked_again_with_longer_and_longer_waits(
    installation: Installation, waits: list[float]
) -> None:
    with pytest.raises(InstallError, match=r"cannot find grass==1.0: .*has none of that name, or was not reached"):
        installation.run()
    assert waits == list(WAITS_S)
