from pathlib import Path

import msgspec
import pytest

from components.client import sealed
from components.client.sealed import TornFileError


class Header(msgspec.Struct, frozen=True):
    round: int


def test_what_is_sealed_is_unsealed(tmp_path: Path) -> None:
    sealed.write(tmp_path / "f", Header(7), b"body")
    assert sealed.read(tmp_path / "f", Header) == (Header(7), bytearray(b"body"))
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


def test_no_file_is_no_error(tmp_path: Path) -> None:
    assert sealed.read(tmp_path / "f", Header) is None


def test_a_file_that_is_cut_off_anywhere_is_torn(tmp_path: Path) -> None:
    sealed.write(tmp_path / "f", Header(7), b"body")
    whole = (tmp_path / "f").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "f").write_bytes(whole[:length])
        with pytest.raises(TornFileError):
            sealed.read(tmp_path / "f", Header)


def test_a_file_of_which_one_bit_is_wrong_is_torn(tmp_path: Path) -> None:
    sealed.write(tmp_path / "f", Header(7), b"body")
    whole = (tmp_path / "f").read_bytes()
    for position in range(len(whole)):
        (tmp_path / "f").write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(TornFileError):
            sealed.read(tmp_path / "f", Header)


def test_a_header_of_another_version_is_named(tmp_path: Path) -> None:
    sealed.write(tmp_path / "f", Header(7), b"body")

    class Other(msgspec.Struct, frozen=True):
        epoch: int

    with pytest.raises(TornFileError, match="epoch"):
        sealed.read(tmp_path / "f", Other)
