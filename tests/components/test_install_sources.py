"""Where com.fedgrass.Runtime has its wheels from: two indexes, a proxy, a wheelhouse."""

import platform
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.runtime import install_wheels
from components.runtime.install_wheels import INTERRUPTED, REFUSED, LineError
from sandbox.package_index import PackageIndex, write_wheel
from tests.components.installing import Device

PASSWORD = "correct-horse"  # noqa: S105


@pytest.fixture
def torch_index(device: Device) -> Iterator[PackageIndex]:
    served = PackageIndex()
    device.torch_index_url = served.url
    yield served
    served.close()


@pytest.fixture(params=["folder", "zip"])
def wheelhouse(request: pytest.FixtureRequest, device: Device, tmp_path: Path, closed_port: int) -> Path:
    """One with grass 1.0, on a device that reaches no index."""
    device.index_url = f"http://127.0.0.1:{closed_port}/simple"
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    with (folder / "grass-1.0-py3-none-any.whl").open("wb") as wheel:
        write_wheel(wheel, "grass", "1.0")
    (folder / "grass-1.0-cp39-cp39-win_amd64.whl").write_bytes(b"of another machine")
    (folder / "requirements.txt").write_text("what it was made of")
    return folder if request.param == "folder" else packed(folder, tmp_path / "wheelhouse.zip")


def packed(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as target:
        for path in folder.iterdir():
            target.write(path, path.name)
    return archive


def test_versions_of_one_builder_come_from_the_index_of_torch_and_all_others_do_not(
    device: Device, index: PackageIndex, torch_index: PackageIndex
) -> None:
    plain, own = index.offer("grass", "1.0"), torch_index.offer("meadow", "2.0+cpu")
    index.offer("meadow", "2.0")
    torch_index.offer("grass", "1.0", 1)
    run = device.install_wheels("grass==1.0\nmeadow==2.0+cpu\n")
    assert run.returncode == 0, run.stderr
    assert (index.asked, torch_index.asked) == ([(plain, None)], [(own, None)])
    assert device.version("meadow", device.made) == "2.0+cpu"


def test_the_proxy_of_the_configuration_goes_before_that_of_the_environment(
    device: Device, index: PackageIndex, closed_port: int
) -> None:
    file = index.offer("grass", "1.0")
    device.proxy = index.url.removesuffix("/simple")
    device.index_url = "http://127.0.0.9:9/simple"  # pip takes no other address without TLS
    device.hostile = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), f"http://127.0.0.1:{closed_port}")
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert index.asked == [(file, None)]


def test_the_password_of_an_index_is_not_told(device: Device, index: PackageIndex) -> None:
    file = index.offer("grass", "1.0")
    index.spoilt.add(file)
    device.index_url = index.url.replace("//", f"//me:{PASSWORD}@")
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == REFUSED
    assert f"/files/{file} gives has none of the hashes" in run.stderr
    assert PASSWORD not in run.stderr + run.stdout


def test_an_index_that_is_not_reached_is_no_refusal(
    device: Device, closed_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "")  # which it sets
    monkeypatch.setattr(install_wheels, "WAITS_S", ())
    monkeypatch.setattr(sys, "prefix", str(device.work))
    device.requirements.write_text(f"grass==1.0 --hash=sha256:{'0' * 64}\n")
    address = f"http://me:{PASSWORD}@127.0.0.1:{closed_port}/simple"
    arguments = [str(device.requirements), str(device.work / "wheels"), address, address, "", ""]
    assert install_wheels.main(arguments) == INTERRUPTED
    told = capsys.readouterr().err
    assert f"127.0.0.1:{closed_port}/simple has none of that name, or was not reached" in told
    assert PASSWORD not in told
    assert issubclass(LineError, install_wheels.InstallError)


def test_a_wheelhouse_goes_before_all_indexes(device: Device, wheelhouse: Path) -> None:
    device.wheelhouse = str(wheelhouse)
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert device.version("grass", device.made) == "1.0"
    assert wheelhouse.exists()
    assert not device.kept()
    if wheelhouse.is_dir():
        assert (wheelhouse / "grass-1.0-py3-none-any.whl").exists()


def test_a_wheelhouse_that_lacks_a_wheel_is_told_at_once_with_the_command_that_makes_it(
    device: Device, wheelhouse: Path
) -> None:
    device.wheelhouse = str(wheelhouse)
    run = device.install_wheels("grass==1.0\nmeadow==1.0\n")
    assert run.returncode == REFUSED
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"{wheelhouse} has no wheel of meadow==1.0 for Python {python} on {platform.machine()}" in run.stderr
    assert f"fedgrass wheelhouse --arch {platform.machine()} --python {python}" in run.stderr
    assert "trying again" not in run.stderr


def test_a_wheel_of_a_wheelhouse_needs_its_hash_as_well(device: Device, wheelhouse: Path) -> None:
    device.wheelhouse = str(wheelhouse)
    run = device.install_wheels(f"grass==1.0 --hash=sha256:{'0' * 64}\n")
    assert run.returncode == REFUSED
    assert f"in {wheelhouse} has none of the hashes that it should have" in run.stderr


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_a_wheelhouse_that_can_not_be_read_is_told(device: Device, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "nothing.zip"
    if content is not None:
        path.write_bytes(content)
    device.wheelhouse = str(path)
    run = device.install_wheels("grass==1.0\n")
    assert run.returncode == REFUSED
    assert f"the wheelhouse {path} can't be read: " in run.stderr


def test_the_wheelhouse_in_the_component_needs_no_configuration(
    device: Device, tmp_path: Path, closed_port: int
) -> None:
    device.copy_environments()
    device.index_url = f"http://127.0.0.1:{closed_port}/simple"
    with zipfile.ZipFile(device.artifacts / f"wheelhouse-{platform.machine()}.zip", "w") as archive:
        wheel = tmp_path / "wheel"
        with wheel.open("wb") as file:
            write_wheel(file, "grass", "1.0")
        archive.write(wheel, "grass-1.0-py3-none-any.whl")
    run = device.install("grass==1.0\n")
    assert run.returncode == 0, run.stderr
    assert device.version("grass") == "1.0"
