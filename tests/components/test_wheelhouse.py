"""`fedgrass wheelhouse`, and how components/build.py takes what it makes along."""

import json
import platform
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from components import task_requirements
from components.build import build
from components.packed_wheelhouse import WheelhouseFolderError
from components.runtime.wheelhouse import WheelhouseError, WheelhouseInUseError, cuda_in, is_for, make
from components.task_requirements import listed
from sandbox.package_index import PackageIndex
from tests.cli.running import fedgrass
from tests.components.installing import RUNTIME, Device
from tests.paths import ROOT


@pytest.fixture
def runtime(index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The list of a Runtime that is small: grass for all, meadow for ARM, clover from the index of torch."""
    lines = []
    for name, version, marker in (
        ("grass", "1.0", ""),
        ("meadow", "1.0", " ; platform_machine == 'aarch64'"),
        ("clover", "1.0+cpu", " ; platform_machine == 'x86_64' and python_full_version < '3.13'"),
    ):
        lines.append(f"{name}=={version}{marker} --hash=sha256:{index.sha256(index.offer(name, version))}\n")
    path = tmp_path / "runtime.txt"
    path.write_text("".join(lines))
    monkeypatch.setitem(task_requirements.LISTS, "requirements.txt", path)
    return "".join(lines)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_has_the_wheels_of_one_kind_of_device_and_their_list(
    runtime: str, index: PackageIndex, tmp_path: Path
) -> None:
    made = make(tmp_path / "arm", "aarch64", "3.11", None, index.url, index.url)
    grass, meadow, clover = (
        "grass-1.0-py3-none-any.whl",
        "meadow-1.0-py3-none-any.whl",
        "clover-1.0+cpu-py3-none-any.whl",
    )
    assert names(tmp_path / "arm") == {grass, meadow, "requirements.txt"}
    assert (tmp_path / "arm" / "requirements.txt").read_text() == runtime
    assert (made.wheels, made.bytes) == (2, index.size(grass) + index.size(meadow))
    assert 0 < made.unpacked_bytes < made.bytes
    make(tmp_path / "x86", "x86_64", "3.11", None, index.url, index.url)
    assert names(tmp_path / "x86") == {grass, clover, "requirements.txt"}
    make(tmp_path / "x86", "x86_64", "3.13", None, index.url, index.url)
    assert names(tmp_path / "x86") == {grass, "requirements.txt"}


def test_a_task_adds_its_packages(runtime: str, index: PackageIndex, tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "task.py").touch()
    sha256 = index.sha256(index.offer("heather", "2.0"))
    (tmp_path / "task" / "requirements.txt").write_text(f"heather==2.0 --hash=sha256:{sha256}\n")
    make(tmp_path / "out", "aarch64", "3.11", tmp_path / "task", index.url)
    assert "heather-2.0-py3-none-any.whl" in names(tmp_path / "out")
    assert "heather==2.0" in (tmp_path / "out" / "requirements.txt").read_text()


def test_it_is_not_made_of_wheels_without_their_hash(runtime: str, index: PackageIndex, tmp_path: Path) -> None:
    index.spoilt.add("meadow-1.0-py3-none-any.whl")
    with pytest.raises(WheelhouseError, match="HASH"):
        make(tmp_path / "out", "aarch64", "3.11", None, index.url)
    assert not [name for name in names(tmp_path) if "out" in name]


def test_what_else_is_in_the_folder_is_left_alone(runtime: str, index: PackageIndex, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "diary.txt").touch()
    with pytest.raises(WheelhouseInUseError, match="has something else in it"):
        make(tmp_path / "out", "aarch64", "3.11", None, index.url)
    assert names(tmp_path / "out") == {"diary.txt"}


def test_a_task_that_brings_cuda_is_told(runtime: str, index: PackageIndex, tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "task.py").touch()
    sha256 = index.sha256(index.offer("nvidia", "1.0"))
    (tmp_path / "task" / "requirements.txt").write_text(f"nvidia==1.0 --hash=sha256:{sha256}\n")
    with pytest.raises(WheelhouseError, match=r"this is of CUDA.*nvidia-1.0"):
        make(tmp_path / "out", "aarch64", "3.11", tmp_path / "task", index.url)


@pytest.mark.parametrize(
    ("wheel", "file", "found"),
    [
        ("torch-1.0-py3-none-any.whl", "torch/lib/libtorch_cuda.so", True),
        ("torch-1.0-py3-none-any.whl", "torch/lib/libcudart-d0da41ae.so.11.0", True),
        ("torch-1.0-py3-none-any.whl", "torch/lib/libtorch_cpu.so", False),
        ("torch-1.0-py3-none-any.whl", "torch/cuda/__init__.py", False),
        ("torch-1.0-py3-none-any.whl", "torch.libs/libopenblas.so.0", False),
        ("nvidia_cudnn_cu13-1.0-py3-none-any.whl", "nothing", True),
        ("cuda_bindings-1.0-py3-none-any.whl", "nothing", True),
        ("triton-1.0-py3-none-any.whl", "nothing", True),
        ("cudagrass-1.0-py3-none-any.whl", "nothing", False),
    ],
)
def test_cuda_is_found_by_its_packages_and_libraries(tmp_path: Path, wheel: str, file: str, found: bool) -> None:
    with zipfile.ZipFile(tmp_path / wheel, "w") as archive:
        archive.writestr(file, "")
    assert bool(cuda_in([tmp_path / wheel])) is found


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_the_real_list_has_one_torch_for_each_kind_of_device(arch: str, python: str) -> None:
    wanted = [one for one in listed((RUNTIME / "requirements.txt").read_text()) if is_for(one, arch, python)]
    (torch,) = (one for one in wanted if one.key == "torch")
    assert torch.is_of_torch_index is (arch == "x86_64")
    assert not [one.key for one in wanted if one.key.startswith(("nvidia", "cuda", "triton"))]


def test_the_component_takes_it_along_for_the_devices_that_it_is_for(
    runtime: str, index: PackageIndex, device: Device, tmp_path: Path
) -> None:
    folders = []
    for arch in ("aarch64", "x86_64"):
        make(tmp_path / arch, arch, "3.11", None, index.url, index.url)
        any_wheel = tmp_path / arch / "grass-1.0-py3-none-any.whl"
        any_wheel.rename(any_wheel.with_name(f"grass-1.0-py3-none-manylinux_2_17_{arch}.whl"))
        folders.append(tmp_path / arch)
    built = build(RUNTIME, tmp_path / "output", None, tuple(folders))
    recipe = yaml.safe_load(built.recipe.read_text())
    for manifest, arch in zip(recipe["Manifests"], ("aarch64", "x86_64"), strict=True):
        files = {artifact["Uri"].rpartition("/")[2] for artifact in manifest["Artifacts"]}
        assert {name for name in files if "wheelhouse" in name} == {f"wheelhouse-{arch}.zip"}
        packed = zipfile.ZipFile(built.artifacts / f"wheelhouse-{arch}.zip").namelist()
        assert set(packed) == {path.name for path in (tmp_path / arch).glob("*.whl")}
    assert f"wheelhouse-{platform.machine()}.zip" in names(built.artifacts)


def test_no_component_takes_a_wheelhouse_along_that_would_not_do(
    runtime: str, index: PackageIndex, tmp_path: Path
) -> None:
    make(tmp_path / "arm", "aarch64", "3.11", None, index.url)
    with pytest.raises(WheelhouseFolderError, match="is no wheelhouse"):  # it is for any processor
        build(RUNTIME, tmp_path / "output", None, (tmp_path / "arm",))
    wheel = tmp_path / "arm" / "grass-1.0-py3-none-any.whl"
    wheel.rename(wheel.with_name("grass-1.0-py3-none-manylinux_2_17_aarch64.whl"))
    with pytest.raises(WheelhouseFolderError, match=r"com.fedgrass.Client takes no wheelhouse"):
        build(ROOT, tmp_path / "output", ROOT / "components/tasks/mnist", (tmp_path / "arm",))
    shutil.copytree(tmp_path / "arm", tmp_path / "again")
    with pytest.raises(WheelhouseFolderError, match=r"is the second one for wheelhouse-aarch64.zip"):
        build(RUNTIME, tmp_path / "output", None, (tmp_path / "arm", tmp_path / "again"))
    (tmp_path / "arm" / "requirements.txt").write_text("other==1.0\n")
    with pytest.raises(WheelhouseFolderError, match="was made of another list"):
        build(RUNTIME, tmp_path / "output", None, (tmp_path / "arm",))


def test_the_command_tells_what_it_made(
    runtime: str, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDGRASS_INDEX_URL", index.url)
    monkeypatch.setenv("FEDGRASS_TORCH_INDEX", index.url)
    ran = fedgrass("wheelhouse", str(tmp_path / "out"), "--arch", "x86_64")
    assert ran.status == 0, ran.error
    assert "2 wheels for Python 3.11 on x86_64 in " in ran.out
    assert "nothing of CUDA" in ran.out
    assert [line for line in ran.out.splitlines() if "grass-1.0-py3-none-any.whl" in line], "what it downloads is told"
    told = fedgrass("wheelhouse", str(tmp_path / "out"), "--arch", "x86_64", "--json").result
    assert (told["wheels"], told["arch"], told["python"]) == (2, "x86_64", "3.11")
    assert told["bytes"] == sum(path.stat().st_size for path in (tmp_path / "out").glob("*.whl"))
    index.spoilt.add("grass-1.0-py3-none-any.whl")
    failed = fedgrass("wheelhouse", str(tmp_path / "out"), "--arch", "x86_64", "--json")
    assert (failed.status, json.loads(failed.out)["error"]["code"]) == (1, "wheelhouse_failed")
    assert len(names(tmp_path / "out")) == 3
