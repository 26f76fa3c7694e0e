"""com.fedgrass.Runtime's list of requirements."""

import importlib.metadata
import tomllib
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
