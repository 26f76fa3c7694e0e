"""com.fedgrass.Runtime's lists of requirements."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.runtime.hash_requirements import NoWheelError, hashed, requirements_of
from sandbox.package_index import PackageIndex
from tests.paths import ROOT

RUNTIME = ROOT / "components" / "runtime"
PLATFORMS = [
    {"platform_machine": machine, "sys_platform": "linux", "python_version": minor, "python_full_version": f"{minor}.1"}
    for machine in ("aarch64", "x86_64")
    for minor in ("3.11", "3.12", "3.13")
]


CPU, CUDA = "requirements.txt", "requirements-cuda.txt"
KINDS = [(CPU, platform) for platform in PLATFORMS]
KINDS += [(CUDA, platform) for platform in PLATFORMS if platform["platform_machine"] == "x86_64"]
BUILT_FOR_CPUS = {"torch", "torchvision"}


def pinned(name: str, environment: dict[str, str]) -> dict[str, str]:
    """Name -> version of what a list installs on such a device."""
    found: dict[str, str] = {}
    for requirement in requirements_of((RUNTIME / name).read_text()):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            assert requirement.name not in found
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


@pytest.mark.parametrize(
    ("name", "platform"), KINDS, ids=lambda of: of if isinstance(of, str) else "-".join(list(of.values())[::2])
)
def test_requirements_are_in_step_with_pyproject(name: str, platform: dict[str, str]) -> None:
    """But for torch's builds for the CPUs of x86-64, which pyproject has no names for."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = pinned(name, platform)
    for line in groups["agent"] + groups["training"]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(platform):
            version = installed[canonicalize_name(requirement.name)]
            if name == CPU and platform["platform_machine"] == "x86_64" and requirement.name in BUILT_FOR_CPUS:
                assert version.endswith("+cpu")
            else:
                assert requirement.specifier.contains(version)


def test_requirements_are_complete_on_this_platform() -> None:
    """What they pull in, told by the same packages installed here, is listed too: pip is not asked to add any."""
    here = pinned(CUDA, {})
    for name in here:
        distribution = importlib.metadata.distribution(name)
        for line in distribution.requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in here, f"{name} needs {line}"
                assert needed.specifier.contains(here[canonicalize_name(needed.name)], prereleases=True)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda p: f"{p['platform_machine']}-{p['python_version']}")
def test_the_default_list_has_nothing_of_cuda(platform: dict[str, str]) -> None:
    installed = pinned(CPU, platform)
    assert not [name for name in installed if name.startswith(("nvidia", "cuda", "triton"))]
    assert {name for name in installed if "+" in installed[name]} in (set(), BUILT_FOR_CPUS)


@pytest.mark.parametrize("name", [CPU, CUDA])
def test_every_requirement_has_the_hash_of_a_wheel(name: str) -> None:
    text = (RUNTIME / name).read_text()
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
    listed = {name: f"{number:064x}" for number, name in enumerate(files)}

    def numbers(requirement: str) -> list[int]:
        line, *hashes = hashed(Requirement(requirement), listed).split(" \\\n")
        assert line == requirement
        return [int(one.removeprefix("    --hash=sha256:"), 16) for one in hashes]

    assert numbers("grass==1.0") == [2, 3, 5, 11]
    assert numbers("grass==1.0 ; platform_machine == 'x86_64'") == [2, 11]
    assert numbers("grass==1.0 ; python_full_version < '3.12' and platform_machine == 'aarch64'") == [3, 5, 11]
    with pytest.raises(NoWheelError, match=r"no wheel of grass==1\.1 with a hash for aarch64"):
        numbers("grass==1.1")


def test_hashes_are_written_from_an_index_of_links_and_those_of_one_builder_from_that_of_torch(
    index: PackageIndex, tmp_path: Path
) -> None:
    torch_index = PackageIndex()
    try:
        plain, own = index.offer("grass", "1.0"), torch_index.offer("meadow", "1.0+cpu")
        index.offer("meadow", "1.0")
        path = tmp_path / "list.txt"
        path.write_text("# mine\ngrass==1.0\nmeadow==1.0+cpu\n")
        command = [sys.executable, "-m", "components.runtime.hash_requirements", str(path)]
        command += ["--index-url", index.url, "--torch-index-url", torch_index.url]
        subprocess.run(command, cwd=ROOT, check=True)
        assert path.read_text() == (
            f"# mine\ngrass==1.0 \\\n    --hash=sha256:{index.sha256(plain)}\n"
            f"meadow==1.0+cpu \\\n    --hash=sha256:{torch_index.sha256(own)}\n"
        )
    finally:
        torch_index.close()
