import os
import stat
from pathlib import Path

import pytest

from components.client import durable


def test_a_disk_that_is_full_leaves_the_old_file_and_no_rest_of_the_new_one(tmp_path: Path) -> None:
    durable.replace(tmp_path / "f", b"old")
    (tmp_path / "f.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        durable.replace(tmp_path / "f", b"new" * 10_000)
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


def test_the_file_and_its_name_are_forced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        forced.append(stat.S_IFMT(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    durable.replace(tmp_path / "f", b"new")
    assert forced == [stat.S_IFREG, stat.S_IFDIR]
