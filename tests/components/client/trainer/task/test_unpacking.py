"""components/client/trainer/task/unpacking.py: task.zip as a folder, whatever was there before."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from components.client.trainer.task.loading import load_task
from components.client.trainer.task.unpacking import UnpackingError, unpack
from tests.paths import ROOT

TASK = """
import importlib.resources, json
from pathlib import Path
from torch import nn
import nets.sizes
LABELS = json.loads((Path(__file__).parent / "labels.json").read_text())
NOTE = importlib.resources.files("nets").joinpath("note.txt").read_text()
def build_model(): return nn.Linear(nets.sizes.WIDTH, len(LABELS))
def load_data(directory, client): ...
"""
FILES = {
    "task.py": TASK,
    "labels.json": "[1, 2, 3]",
    "nets/__init__.py": "",
    "nets/sizes.py": "WIDTH = 4\n",
    "nets/note.txt": "note",
}


def packed(directory: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(directory / "task.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # at the same time in each
    return directory / "task.zip"


def held(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    return {path.relative_to(directory).as_posix(): path.read_text() for path in files}


def test_a_task_finds_the_files_beside_it(tmp_path: Path) -> None:
    directory = unpack(packed(tmp_path, FILES), tmp_path / "work" / "task")
    code = (
        "import sys; from pathlib import Path; from components.client.trainer.task.loading import load_task\n"
        "task = load_task(Path(sys.argv[1])); print(tuple(task.build_model().weight.shape))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "(3, 4)\n", ran.stderr


def test_a_file_that_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    archive = packed(tmp_path, FILES)
    directory = unpack(archive, tmp_path / "task")
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    assert unpack(archive, directory) == directory
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before


@pytest.mark.parametrize("damage", ["cut off", "other bytes of the same length", "gone", "a folder in its place"])
def test_what_a_power_cut_has_left_is_mended(tmp_path: Path, damage: str) -> None:
    archive = packed(tmp_path, FILES)
    directory = unpack(archive, tmp_path / "task")
    path = directory / "labels.json"
    content = path.read_text()
    path.unlink()
    if damage == "a folder in its place":
        path.mkdir()
    elif damage != "gone":
        path.write_text(content[:3] if damage == "cut off" else "\0" * len(content))
    assert held(unpack(archive, directory)) == FILES


def test_another_task_takes_the_place_of_the_one_before_with_its_compiled_code(tmp_path: Path) -> None:
    directory = unpack(packed(tmp_path, FILES), tmp_path / "task")
    (directory / "__pycache__").mkdir()
    (directory / "__pycache__" / "task.cpython-311.pyc").write_bytes(b"old")
    other = {"task.py": "x = 1\n", "nets": "a file now", "labels.json.new": "n", "labels.json": "l", "task.file": "f"}
    assert held(unpack(packed(tmp_path, other), directory)) == other
    assert not (directory / "__pycache__").exists()


@pytest.mark.parametrize("name", ["../outside.py", "/etc/outside", "a/../../outside.py"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnpackingError, match="outside of the task"):
        unpack(packed(tmp_path, {name: "x"}), tmp_path / "work" / "task")
    assert not (tmp_path / "work" / "outside.py").exists()


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    archive = packed(tmp_path, FILES)
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(UnpackingError, match=f"{archive} can't be unpacked into {tmp_path}/task: File is not a zip"):
        unpack(archive, tmp_path / "task")


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    archive = packed(tmp_path, FILES)
    (tmp_path / "task.new").symlink_to("/dev/full")
    with pytest.raises(UnpackingError, match="No space left on device"):
        unpack(archive, tmp_path / "task")


def test_a_task_counts_as_another_one_if_any_of_its_files_is(tmp_path: Path) -> None:
    def digest(files: dict[str, str]) -> str:
        archive = packed(tmp_path, files)
        return load_task(unpack(archive, tmp_path / "task"), packed=archive).sha256

    before = digest(FILES)
    assert digest(FILES) == before
    assert digest(FILES | {"labels.json": "[1, 2]"}) != before
