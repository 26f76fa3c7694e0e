"""com.fedgrass.Runtime's list of requirements."""

import importlib.metadata
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.runtime.hash_requirements import NoWheelError, hashed, requirements_of
from tests.paths import ROOT

RUNTIME = ROOT / "components" / "runtime"
PLATFORMS = [
    {"platform_machine": machine, "sys_platform": "linux", "python_version": minor, "python_full_version": f"{minor}.1"}
    for machine in ("aarch64", "x86_64")
    for minor in ("3.11", "3.12", "3.13")
]


def pinned(environment: dict[str, str]) -> dict[str, str]:
    """Name -> version of what components/runtime/requirements.txt installs on such a device."""
    found: dict[str, str] = {}
    for requirement in requirements_of((RUNTIME / "requirements.txt").read_text()):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            assert requirement.name not in found
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda p: f"{p['platform_machine']}-{p['python_version']}")
def test_requirements_are_in_step_with_pyproject(platform: dict[str, str]) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
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


def test_every_requirement_has_the_hash_of_a_wheel() -> None:
    text = (RUNTIME / "requirements.txt").read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert len(lines) == len(requirements_of(text)) > 20
    for line in lines:
        assert re.fullmatch(r"[^\\]+?( +--hash=sha256:[0-9a-f]{64})+", line)


def test_the_hashes_are_of_what_devices_may_be_given() -> None:
    files = [
        "grass-1.0.tar.gz",
        "grass-1.0-cp310-cp310-manylinux_2_28_x86_64.whl",
        "grass-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        "grass-1.0-cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
        "grass-1.0-cp313-cp313t-manylinux_2_28_x86_64.whl",
        "grass-1.0-cp39-abi3-manylinux_2_28_aarch64.whl",
        "grass-1.0-cp312-cp312-musllinux_1_2_x86_64.whl",
        "grass-1.0-cp312-cp312-win_amd64.whl",
        "grass-1.0-cp312-cp312-macosx_11_0_arm64.whl",
        "grass-1.0-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl",
        "grass-1.1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "grass-1.0-py2.py3-none-any.whl",
        "grass-1.0-py2-none-any.whl",
    ]
    listed = [{"filename": name, "hashes": {"sha256": f"{number:064x}"}} for number, name in enumerate(files)]

    def numbers(requirement: str) -> list[int]:
        line, *hashes = hashed(Requirement(requirement), listed).split(" \\\n")
        assert line == requirement
        return [int(one.removeprefix("    --hash=sha256:"), 16) for one in hashes]

    assert numbers("grass==1.0") == [2, 3, 5, 11]
    assert numbers("grass==1.0 ; platform_machine == 'x86_64'") == [2, 11]
    assert numbers("grass==1.0 ; python_full_version < '3.12' and platform_machine == 'aarch64'") == [3, 5, 11]
    with pytest.raises(NoWheelError, match=r"no wheel of grass==1\.1 for aarch64"):
        numbers("grass==1.1")
