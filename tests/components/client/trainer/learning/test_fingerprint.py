"""A dataset's directory as it is on a device: whatever lies in it beside the data stops nothing."""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch import nn

from components.client.trainer.learning import fingerprint
from components.client.trainer.learning.local_data import DataError, LocalData
from components.client.trainer.task.loading import load_task
from fedgrass.task import Client

Deed = Callable[[Path], object]
LocalDataOf = Callable[[Path], LocalData]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    dataset = tmp_path / "dataset"
    (dataset / "january").mkdir(parents=True)
    (dataset / "data.csv").write_text("1,2\n")
    (dataset / "january" / "data.csv").write_text("3\n")
    return dataset


@pytest.fixture
def local_data(tmp_path: Path) -> Iterator[LocalDataOf]:
    """The data of a task that reads nothing, in this directory."""
    path = list(sys.path)
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "task.py").write_text(
        "from fedgrass.task import Data\n"
        "def build_model(): ...\n"
        "def load_data(directory, client): return Data([1, 2])\n"
        "def train(model, data, settings): return {}\n"
    )
    task = load_task(tmp_path / "task")
    yield lambda directory: LocalData(task, directory, Client(thing="t", federation="f"), 0.0, lambda _: None)
    sys.path[:] = path
    sys.modules.pop("task", None)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(path.parent, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/{path.name}")  # the path itself may be too long for a socket's name
        os.close(here)


@pytest.mark.parametrize(
    ("deed", "named"),
    [
        (lambda path: (path / "latest.csv").symlink_to("gone.csv"), "latest.csv: No such file or directory"),
        (lambda path: (path / "loop").symlink_to("loop"), "loop: Too many levels of symbolic links"),
        (lambda path: (path / "mount").symlink_to("data.csv/below"), "mount: Not a directory"),
        (lambda path: (path / "up").symlink_to(".."), ""),
        (lambda path: (path / "january" / "self").symlink_to("."), ""),
        (lambda path: (path / "february").symlink_to("january"), ""),
        (lambda path: os.mkfifo(path / "pipe"), ""),
        (lambda path: make_socket(path / "socket"), ""),
        (lambda path: (path / "null").symlink_to("/dev/null"), ""),
        (lambda path: open(os.fsencode(path) + b"/Messger\xe4t.csv", "w").close(), ""),  # noqa: PTH123
        (lambda path: Path(os.fsdecode(os.fsencode(path) + b"/m\xfcll")).symlink_to("gone"), "m?ll: No such file"),
        (lambda path: (path / "new\nline\x1b[31m").symlink_to("gone"), "new line?[31m: No such file"),
        (lambda path: (path / ("x" * 255)).write_text("1"), ""),
    ],
)
def test_what_cannot_be_looked_at_is_told_once_and_the_data_loaded(
    directory: Path, local_data: LocalDataOf, caplog: pytest.LogCaptureFixture, deed: Deed, named: str
) -> None:
    deed(directory)
    data = local_data(directory)
    with caplog.at_level(logging.INFO):
        first = data.get(lambda: nn.Linear(1, 1))
        assert data.get(lambda: nn.Linear(1, 1)) is first
        assert data.change() is None
    assert [record.reason[: len(named)] for record in caplog.records] == ([named] if named else [])  # type: ignore[attr-defined]


def test_a_directory_that_only_root_may_read_is_told_and_stops_nothing(
    directory: Path, local_data: LocalDataOf, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "lost+found").mkdir(mode=0o000)
    for path in directory.parents[: len(directory.parents) - len(Path(tempfile.gettempdir()).parts)]:
        path.chmod(0o755)  # pytest's own are the owner's alone
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        local_data(directory).get(lambda: nn.Linear(1, 1))
    finally:
        if is_root:
            os.seteuid(0)
    assert [record.reason for record in caplog.records] == ["lost+found: Permission denied"]  # type: ignore[attr-defined]


def test_a_file_that_goes_while_it_is_looked_at_stops_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint.of(directory)
    scan = os.scandir

    def rotate(path: bytes) -> object:
        """The entries as they were, of which one is gone by now."""
        gone = Path(os.fsdecode(path)) / "sensor.log"
        gone.write_text("1")
        with scan(path) as entries:
            found = list(entries)
        gone.unlink()

        class Entries(list):  # type: ignore[type-arg]
            def __enter__(self) -> "Entries":
                return self

            def __exit__(self, *_: object) -> None: ...

        return Entries(found)

    monkeypatch.setattr(os, "scandir", rotate)
    assert fingerprint.of(directory).digest == before.digest


def test_many_that_cannot_be_looked_at_are_counted(
    directory: Path, local_data: LocalDataOf, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(200):
        (directory / f"{number:03d}").symlink_to("gone")
    local_data(directory).get(lambda: nn.Linear(1, 1))
    (record,) = caplog.records
    assert record.reason.startswith("000: No such file or directory; 001: ")  # type: ignore[attr-defined]
    assert record.reason.endswith("; and 197 more")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "deed",
    [
        lambda path: (path / "data.csv").write_text("1,2,3\n"),
        lambda path: os.utime(path / "data.csv", (1, 1)),
        lambda path: (path / "january" / "data.csv").unlink(),
        lambda path: (path / "february" / "more.csv").write_text("1"),
        lambda path: (path / "gone.csv").write_text("1"),
        lambda path: (path / "data.csv").rename(path / "other.csv"),
        lambda path: (path / "january").rename(path / "march"),
    ],
)
def test_what_is_added_removed_or_changed_is_seen_behind_links_too(directory: Path, deed: Deed) -> None:
    outside = directory.parent / "outside"
    outside.mkdir()
    (directory / "february").symlink_to(outside)
    (directory / "latest.csv").symlink_to("gone.csv")
    before = fingerprint.of(directory)
    assert fingerprint.of(directory) == before
    deed(directory)
    assert fingerprint.of(directory).digest != before.digest


@pytest.mark.parametrize(("first", "then"), [("2024-01", "2024-02"), ("./2024-01", "gone"), ("a.csv", "b.csv")])
def test_a_link_that_leads_elsewhere_is_a_change(directory: Path, first: str, then: str) -> None:
    for name in ("2024-01", "2024-02"):
        (directory / name).mkdir()
        (directory / name / "data.csv").write_text(name)
        os.utime(directory / name / "data.csv", (1, 1))
    for name in ("a.csv", "b.csv"):
        (directory / name).write_text("1")
        os.utime(directory / name, (1, 1))
    link = directory / "current"
    link.symlink_to(first)
    before = fingerprint.of(directory).digest
    assert fingerprint.of(directory).digest == before
    link.unlink()
    link.symlink_to(then)
    assert fingerprint.of(directory).digest != before


def test_a_dataset_that_is_missing_or_no_directory_is_told(directory: Path, local_data: LocalDataOf) -> None:
    for path in (directory / "none", directory / "data.csv"):
        with pytest.raises(DataError, match="is not a directory: set `dataset`"):
            local_data(path).get(lambda: nn.Linear(1, 1))


def test_a_dataset_may_be_a_link_and_have_very_many_files(directory: Path) -> None:
    for number in range(2000):
        (directory / f"{number}.csv").touch()
    link = directory.parent / "link"
    link.symlink_to(directory)
    assert fingerprint.of(link).digest == fingerprint.of(directory).digest
