import os
import stat
from pathlib import Path

import msgspec
import pytest

from components.client import durable
from components.client.durable import TornFileError


class Header(msgspec.Struct, frozen=True):
    round: int


def test_what_is_sealed_is_unsealed(tmp_path: Path) -> None:
    durable.seal(tmp_path / "f", Header(7), b"body")
    assert durable.unseal(tmp_path / "f", Header) == (Header(7), bytearray(b"body"))
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


def test_no_file_is_no_error(tmp_path: Path) -> None:
    assert durable.unseal(tmp_path / "f", Header) is None


def test_a_file_that_is_cut_off_anywhere_is_torn(tmp_path: Path) -> None:
    durable.seal(tmp_path / "f", Header(7), b"body")
    whole = (tmp_path / "f").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "f").write_bytes(whole[:length])
        with pytest.raises(TornFileError):
            durable.unseal(tmp_path / "f", Header)


def test_a_file_of_which_one_bit_is_wrong_is_torn(tmp_path: Path) -> None:
    durable.seal(tmp_path / "f", Header(7), b"body")
    whole = (tmp_path / "f").read_bytes()
    for position in range(len(whole)):
        (tmp_path / "f").write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(TornFileError):
            durable.unseal(tmp_path / "f", Header)


def test_a_header_of_another_version_is_named(tmp_path: Path) -> None:
    durable.seal(tmp_path / "f", Header(7), b"body")

    class Other(msgspec.Struct, frozen=True):
        epoch: int

    with pytest.raises(TornFileError, match="epoch"):
        durable.unseal(tmp_path / "f", Other)


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
