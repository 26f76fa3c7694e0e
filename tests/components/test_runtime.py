"""com.fedgrass.Runtime: its list of requirements, and the script that installs them."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
RUNTIME = REPOSITORY / "components" / "runtime"
PLATFORMS = [
    {"platform_machine": machine, "sys_platform": "linux", "python_version": minor, "python_full_version": f"{minor}.1"}
    for machine in ("aarch64", "x86_64")
    for minor in ("3.11", "3.12", "3.13")
]


def pinned(environment: dict[str, str]) -> dict[str, str]:
    """Name -> version of what components/runtime/requirements.txt installs on such a device."""
    found: dict[str, str] = {}
    for line in (RUNTIME / "requirements.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            assert requirement.name not in found
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda p: f"{p['platform_machine']}-{p['python_version']}")
def test_requirements_are_in_step_with_pyproject(platform: dict[str, str]) -> None:
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = pinned(platform)
    for line in groups["agent"] + groups["training"]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(platform):
            assert requirement.specifier.contains(installed[canonicalize_name(requirement.name)])


def test_requirements_are_complete_on_this_platform() -> None:
    """What they pull in, told by the same packages installed here, is listed too: pip is not asked to add any."""
    here = pinned({})
    for name in here:
        distribution = importlib.metadata.distribution(name)
        for line in distribution.requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in here, f"{name} needs {line}"
                assert needed.specifier.contains(here[canonicalize_name(needed.name)], prereleases=True)


def test_arm_gets_no_cuda_libraries() -> None:
    arm = pinned(PLATFORMS[0])
    assert not [name for name in arm if name.startswith(("nvidia", "cuda", "triton"))]


# --- install.sh ---


class Device:
    """A work directory, a package index, and the command that the recipe runs."""

    def __init__(self, directory: Path) -> None:
        self.work = directory / "work"
        self.index = directory / "index"
        self.requirements = directory / "requirements.txt"
        self._bin = directory / "bin"
        for folder in (self.work, self.index, self._bin):
            folder.mkdir()
        self.provide_python(f'exec "{sys.executable}" "$@"')

    def provide_python(self, script: str) -> None:
        """Make `python3` run this."""
        (self._bin / "python3").write_text(f"#!/bin/sh\n{script}\n")
        (self._bin / "python3").chmod(0o755)

    def offer(self, name: str, version: str) -> None:
        """Put a package with one module, which says its version, into the index."""
        information = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(self.index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
            wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{information}/RECORD", "")

    def install(self, requirements: str) -> subprocess.CompletedProcess[str]:
        self.requirements.write_text(requirements)
        environment = {
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.index),
            "PIP_CONFIG_FILE": os.devnull,
        }
        command = ["/bin/sh", str(RUNTIME / "install.sh"), str(self.requirements), str(self.work)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def grass_version(self) -> str:
        """What the environment of the moment, through the link that the client's recipe uses, has of `grass`."""
        command = [str(self.work / "venv/bin/python"), "-I", "-c", "import grass; print(grass.VERSION)"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def environments(self) -> set[str]:
        return {path.name for path in self.work.glob("venv-*")}


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_the_same_requirements_are_installed_once(device: Device) -> None:
    device.offer("grass", "1.0")
    first = device.install("grass==1.0\n")
    assert first.returncode == 0, first.stderr
    assert device.grass_version() == "1.0"

    shutil.rmtree(device.index)
    again = device.install("grass==1.0\n")
    assert (again.returncode, again.stdout) == (0, "")
    assert device.grass_version() == "1.0"


def test_an_install_that_is_cut_short_leaves_the_environment_before_and_is_made_good_later(device: Device) -> None:
    device.offer("grass", "1.0")
    device.install("grass==1.0\n")
    before = device.environments()

    failed = device.install("grass==2.0\n")
    assert failed.returncode != 0
    assert "No matching distribution found for grass==2.0" in failed.stderr
    assert device.grass_version() == "1.0"
    assert len(device.environments()) == 2  # with the half of an environment that a power cut leaves as well

    device.offer("grass", "2.0")
    mended = device.install("grass==2.0\n")
    assert mended.returncode == 0, mended.stderr
    assert device.grass_version() == "2.0"

    shutil.rmtree(device.index)
    rolled_back = device.install("grass==1.0\n")
    assert rolled_back.returncode == 0, "the environment before is kept for a rollback"
    assert device.grass_version() == "1.0"
    assert before <= device.environments()


def test_a_python_that_is_too_old_is_named(device: Device) -> None:
    device.provide_python('[ "$1" = --version ] && echo "Python 3.9.2"; exit 1')
    run = device.install("grass==1.0\n")
    assert run.returncode == 1
    assert run.stderr == "fedgrass needs python3 to be Python 3.11 or newer; it is 'Python 3.9.2'\n"
    assert not device.environments()
