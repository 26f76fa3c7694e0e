"""components/task_folder.py: what of a folder, as people have them, goes to devices."""

import contextlib
import importlib.metadata
import os
import re
import socket
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import task_folder
from components.build import build
from components.task_folder import LIBRARIES, TaskFolder, TaskFolderError, inspect_folder
from tests.paths import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "folder", {"task.py": "import helper\n", "helper.py": "x = 1\n"})


def written(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def packed(folder: Path) -> list[str]:
    return sorted(inspect_folder(folder).packed)


def refusal(folder: Path) -> str:
    with pytest.raises(TaskFolderError) as refused:
        inspect_folder(folder)
    return str(refused.value).replace(str(folder), "")


def test_other_files_beside_the_task_go_along(folder: Path) -> None:
    written(folder, {"labels.json": "[]", "weights/net.bin": "w", "notes/old.py": "print 'Python 2'\n"})
    assert packed(folder) == ["helper.py", "labels.json", "notes/old.py", "task.py", "weights/net.bin"]


def test_what_is_no_part_of_the_task_stays_behind_and_is_named_with_the_reason(folder: Path) -> None:
    written(
        folder,
        {
            ".git/config": "",
            ".env": "SECRET=1",
            ".venv/pyvenv.cfg": "",
            "my environment/pyvenv.cfg": "",
            "my environment/lib/python3.11/site-packages/torch/__init__.py": "",
            "conda/conda-meta/history": "",
            ".ipynb_checkpoints/task-checkpoint.py": "",
            "__pycache__/task.cpython-311.pyc": "",
            "lib/__pycache__/a.pyc": "",
            "old.pyc": "",
            "tests/test_task.py": "",
            "test_helper.py": "",
            "helper_test.py": "",
            "conftest.py": "",
            "greengrass-build/recipes/r.yaml": "",
            "out/recipes/r.yaml": "",
            "out/artifacts/a/1/task.zip": "",
            "dist/task.whl": "",
            "build/lib/task.py": "",
            "task.egg-info/PKG-INFO": "",
            "first trial/rounds.jsonl": "",
            "first trial/clients.csv": "",
            "logs of it/aws.log": "",
            "logs of it/devices/north/thingCert.crt": "",
            "compared/rates/output.log": "",
            "compared/rates/runs/as_it_is/seed-0/rounds.jsonl": "",
            "compared/rates/table.md": "",
            "federation.yaml": "",
            "policies.py": "",
            "requirements.txt": "",
        },
    )
    found = inspect_folder(folder)
    assert sorted(found.packed) == ["helper.py", "task.py"]
    assert found.left_out == {
        ".env": "hidden",
        ".git": "hidden",
        ".ipynb_checkpoints": "hidden",
        ".venv": "hidden",
        "__pycache__": "compiled by Python",
        "build": "made by a build",
        "compared/rates": "an experiment's results",
        "conda": "a virtual environment",
        "conftest.py": "tests",
        "dist": "made by a build",
        "federation.yaml": "for the cloud",
        "first trial": "a run's folder",
        "greengrass-build": "made by a build",
        "helper_test.py": "tests",
        "lib/__pycache__": "compiled by Python",
        "logs of it": "kept of a run",
        "my environment": "a virtual environment",
        "old.pyc": "compiled by Python",
        "out": "made by a build",
        "policies.py": "for the cloud",
        "requirements.txt": "for com.fedgrass.Runtime",
        "task.egg-info": "made by a build",
        "test_helper.py": "tests",
        "tests": "tests",
    }


@pytest.mark.parametrize(
    ("imports", "file"),
    [
        ("from tests.shapes import x", "tests/shapes.py"),
        ("import test_utils", "test_utils.py"),
        ("import build.net", "build/net.py"),
        ("from dist import net", "dist/net.py"),
        ("def late():\n    from tests import deep", "tests/deep.py"),
        ("import importlib\nnet = importlib.import_module('build.net')", "build/net.py"),
        ("import policies", "policies.py"),
    ],
)
def test_what_the_task_imports_goes_along_whatever_its_name(folder: Path, imports: str, file: str) -> None:
    written(folder, {"task.py": imports, file: "x = 1\n"})
    assert file in packed(folder)


def test_what_a_sibling_imports_goes_along_too(folder: Path) -> None:
    written(
        folder,
        {
            "task.py": "from nets import tests\n",
            "nets/__init__.py": "from .dist.layers import x\n",
            "nets/tests.py": "from . import conftest\n",
            "nets/conftest.py": "",
            "nets/dist/__init__.py": "",
            "nets/dist/layers.py": "from ..build import y\n",
            "nets/build.py": "",
        },
    )
    assert {"nets/conftest.py", "nets/dist/layers.py", "nets/build.py"} <= set(packed(folder))


@pytest.mark.parametrize("text", ["def broken(:\n", "x = 1\n\0", "# coding: nonsense\n", "return 1\n"])
def test_a_sibling_that_is_imported_and_does_not_compile_is_named(folder: Path, text: str) -> None:
    written(folder, {"helper.py": text})
    told = refusal(folder)
    assert told.startswith("/helper.py")
    assert "None" not in told


@pytest.mark.parametrize("name", ["link.txt", "link.py", "data/link.csv", "deep/er/link"])
def test_a_link_that_leaves_the_folder_is_refused_by_name(folder: Path, tmp_path: Path, name: str) -> None:
    outside = written(tmp_path, {"secret.txt": "s"}) / "secret.txt"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(outside)
    assert refusal(folder).startswith(f"/{name} is a link that leaves the task's folder, to {outside}")


@pytest.mark.parametrize("name", ["linked", "data"])
def test_so_is_a_link_to_a_folder_outside(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / name).symlink_to(tmp_path / "elsewhere")
    assert "is a link that leaves" in refusal(folder)


def test_links_within_the_folder_are_packed_as_what_they_point_to(folder: Path) -> None:
    written(folder, {"nets/v2.py": "y = 2\n", ".cache/weights.bin": "w"})
    (folder / "net.py").symlink_to("nets/v2.py")
    (folder / "weights.bin").symlink_to(folder / ".cache" / "weights.bin")
    (folder / "alias").symlink_to("nets")
    found = inspect_folder(folder).packed
    assert sorted(found) == [
        "alias/v2.py",
        "helper.py",
        "net.py",
        "nets/v2.py",
        "task.py",
        "weights.bin",
    ]
    assert found["weights.bin"].read_text() == "w"


def test_a_folder_that_is_itself_a_link_is_packed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder)
    assert packed(tmp_path / "alias") == ["helper.py", "task.py"]


def test_what_cannot_be_packed_is_named_and_stops_nothing(folder: Path) -> None:
    (folder / "nowhere").symlink_to("gone.txt")
    (folder / "itself").symlink_to("itself")
    (folder / "deep").mkdir()
    (folder / "deep" / "around").symlink_to("..")
    os.mkfifo(folder / "fifo")
    (folder / "data").mkdir()
    os.mkfifo(folder / "data" / "fifo")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "socket"))
    found = inspect_folder(folder)
    assert sorted(found.packed) == ["helper.py", "task.py"]
    assert found.left_out == {
        "nowhere": "a link to nothing",
        "itself": "cannot be read: Too many levels of symbolic links",
        "deep/around": "a link to a folder that it is in",
        "fifo": "neither a file nor a folder",
        "data/fifo": "neither a file nor a folder",
        "caf\udce9.txt": "its name is not UTF-8",
        "socket": "neither a file nor a folder",
    }
    assert r"caf\udce9.txt: its name is not UTF-8" in "\n".join(found.report())


@pytest.mark.parametrize(
    "name",
    [
        "protocol.py",
        "components/__init__.py",
        "cloud.py",
        "torch.py",
        "numpy/__init__.py",
        "msgspec.py",
        "json.py",
        "queue.py",
        "types.py",
        "task/__init__.py",
        "queue.so",
        "random.cpython-311-x86_64-linux-gnu.so",
        "msgspec.abi3.so",
        "json/__init__.so",
        "task.so",
        "task.cpython-311-x86_64-linux-gnu.so",
        "task/__init__.abi3.so",
    ],
)
def test_a_module_named_like_one_of_the_devices_process_is_refused_by_name(folder: Path, name: str) -> None:
    written(folder, {name: ""})
    told = refusal(folder)
    assert told.startswith(f"/{name.partition('/')[0]} is ")
    assert "rename it" in told


def test_other_compiled_modules_go_along(folder: Path) -> None:
    written(folder, {"fast.abi3.so": "", "nets/queue.so": "", "taskmaster.so": ""})
    assert {"fast.abi3.so", "nets/queue.so", "taskmaster.so"} <= set(packed(folder))


@contextlib.contextmanager
def unreadable(path: Path, mode: int = 0o000) -> Iterator[None]:
    """For a while this process is not root's, and may do with a path what its mode says."""
    for above in path.parents[: len(path.parents) - len(Path(tempfile.gettempdir()).parts)]:
        above.chmod(0o755)  # pytest's own are the owner's alone
    before, is_root = path.stat().st_mode, os.geteuid() == 0
    path.chmod(mode)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        path.chmod(before)


@pytest.mark.parametrize("name", ["secret", "secret.txt", "nets/secret", "data/secret.csv", "data"])
def test_what_may_not_be_read_stays_behind(folder: Path, name: str) -> None:
    written(folder, {name if "." in name else f"{name}/file.txt": ""})
    with unreadable(folder / name):
        found = inspect_folder(folder)
    assert found.left_out == {name: "cannot be read: Permission denied"}
    assert sorted(found.packed) == ["helper.py", "task.py"]
    assert not found.data


@pytest.mark.parametrize("mode", [0o444, 0o111])
def test_so_does_a_folder_that_may_be_listed_or_entered_only(folder: Path, mode: int) -> None:
    written(folder, {"secret/file.txt": ""})
    with unreadable(folder / "secret", mode):
        found = inspect_folder(folder)
    assert set(found.left_out.values()) == {"cannot be read: Permission denied"}
    assert sorted(found.packed) == ["helper.py", "task.py"]


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
@pytest.mark.parametrize("name", ["secret", "deep/secret"])
def test_what_is_imported_and_may_not_be_read_is_refused_by_name(folder: Path, name: str, mode: int) -> None:
    module = name.replace("/", ".")
    written(folder, {"task.py": f"import {module}.net\n", f"{name}/__init__.py": "", f"{name}/net.py": ""})
    with unreadable(folder / name, mode):
        assert refusal(folder).startswith(f"/{name}")


def test_so_is_an_imported_file_that_may_not_be_read(folder: Path) -> None:
    with unreadable(folder / "helper.py"):
        assert refusal(folder).startswith("/helper.py")


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
@pytest.mark.parametrize("below", ["", "below"])
def test_a_task_that_may_not_be_read_itself_is_refused(tmp_path: Path, below: str, mode: int) -> None:
    folder = tmp_path / "folder"
    written(folder / below, {"task.py": ""})
    with unreadable(folder, mode):
        if below and mode == 0o111:
            assert packed(folder / below) == ["task.py"]
            return
        with pytest.raises(TaskFolderError, match=f"{re.escape(str(folder))}.* cannot be read.*: Permission denied"):
            inspect_folder(folder / below)


def test_what_is_imported_from_what_stays_behind_is_refused(folder: Path) -> None:
    written(folder, {"task.py": "import env.net\n", "env/net.py": "", "env/pyvenv.cfg": ""})
    assert refusal(folder) == "/env/net.py is imported, and can't go along: a virtual environment"


def test_a_folder_without_code_may_be_named_like_a_module_unless_it_is_imported_from(folder: Path) -> None:
    written(folder, {"json/labels.json": "[]", "code/readme.txt": "", "email/old.py": ""})
    assert "json/labels.json" in packed(folder)
    written(folder, {"task.py": "import email.old\n"})
    assert refusal(folder).startswith("/email is named like the module email of Python's standard library")


def test_modules_of_packages_may_have_any_name(folder: Path) -> None:
    written(folder, {"nets/torch.py": "", "nets/json.py": "", "nets/__init__.py": ""})
    assert "nets/json.py" in packed(folder)


@pytest.mark.parametrize(
    "names",
    [
        ("data/north/x.npy", "data/south/x.npy"),
        ("data/north/x.npy", "data/README.md", "data/.cache"),
        ("data/clients/north/x.npy", "data/holdout/x.npy", "data/summary.json"),
    ],
)
def test_data_of_clients_stays_here(folder: Path, names: tuple[str, ...]) -> None:
    written(folder, dict.fromkeys(names, ""))
    found = inspect_folder(folder)
    assert (found.data, sorted(found.packed)) == ({}, ["helper.py", "task.py"])
    assert found.left_out == {"data": "data of clients, for trials on this machine"}


def test_folders_among_the_files_for_every_device_are_refused(folder: Path) -> None:
    written(folder, {"data/words.txt": "", "data/north/x.npy": ""})
    assert refusal(folder).startswith("/data/north is no file: ")


def test_code_in_data_is_refused_for_it_would_be_no_module_on_a_device(folder: Path) -> None:
    written(folder, {"task.py": "from data.reading import read\n", "data/reading.py": ""})
    assert refusal(folder).startswith("/data/reading.py is imported")


def test_the_names_that_are_taken_are_those_of_the_devices_packages() -> None:
    text = (ROOT / "components" / "runtime" / "requirements.txt").read_text()
    for name in re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE):
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another platform
            continue
        tops = {file.parts[0] for file in files if file.suffix == ".py" and ".." not in file.parts}
        modules = {top.removesuffix(".py") for top in tops if top.isidentifier() or top.endswith(".py")}
        assert {module for module in modules if not module.startswith("_")} <= LIBRARIES | sys.stdlib_module_names, name


def test_what_is_packed_is_listed_with_its_size_the_largest_first(folder: Path) -> None:
    written(folder, {"labels.json": "x" * 2000, ".git/config": ""})
    assert list(inspect_folder(folder).report()) == [
        "the task has 3 files, 2,020 bytes:",
        "          2,000  labels.json",
        "             14  task.py",
        "              6  helper.py",
        "       left out  .git: hidden",
    ]


def test_a_list_of_many_files_is_cut_short(folder: Path) -> None:
    written(folder, {f"pictures/{n:03d}.png": "x" for n in range(100)} | {f".h{n:03d}": "" for n in range(50)})
    report = list(inspect_folder(folder).report())
    assert len(report) < 70
    assert "in 72 smaller ones" in report[31]
    assert report[-1] == "       left out  20 more"


def test_a_large_task_is_warned_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "warning" not in "\n".join(inspect_folder(folder).report())
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(task_folder.LARGE_BYTES + 1)
    assert list(inspect_folder(folder).report())[-1].startswith("warning: weights.bin: the task has 20 MB")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("id_rsa", ""),
        ("prod.env", "X=1"),
        ("Credentials.json", "{}"),
        ("notes.txt", "-----BEGIN RSA PRIVATE KEY-----\n"),
        ("upload.py", "KEY = 'AKIAABCDEFGHIJKLMNOP'\n"),
        ("config.ini", "aws_secret_access_key = x\n"),
    ],
)
def test_what_looks_like_a_secret_is_warned_of(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    assert [warned.name for warned in inspect_folder(folder).warnings()] == [name]


def test_names_cannot_forge_lines_of_the_list(folder: Path) -> None:
    (folder / "a\n  0  b\x1b[31m").write_text("")
    assert not any("\x1b" in line or "\n" in line for line in inspect_folder(folder).report())


def test_the_zip_is_the_same_whatever_else_lies_in_the_folder(folder: Path, tmp_path: Path) -> None:
    def archive(output: str) -> bytes:
        return (build(ROOT, tmp_path / output, folder).artifacts / "task.zip").read_bytes()

    written(folder, {"labels.json": "[]"})
    before = archive("first")
    written(folder, {".venv/pyvenv.cfg": "", "tests/test_a.py": "", "federation.yaml": "name: f"})
    os.utime(folder / "labels.json", (1, 1))
    assert archive("second") == before
    with zipfile.ZipFile(tmp_path / "second/artifacts/com.fedgrass.Client/NEXT_PATCH/task.zip") as opened:
        assert opened.namelist() == ["helper.py", "labels.json", "task.py"]


def test_an_empty_folder_has_nothing_to_tell() -> None:
    assert list(TaskFolder({}, {}, {}).report()) == ["the task has 0 files, 0 bytes:"]
