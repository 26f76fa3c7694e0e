from pathlib import Path

import pytest

from components.client.agent import last_assignment
from components.client.agent.last_assignment import Finished
from protocol.messages import Progress

FINISHED = Finished(sha256="a" * 64, progress=Progress(round=7, phase="failed", reason="no", at=1.5))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    last_assignment.save(tmp_path / "f.json", "digits", "pi-7", FINISHED)
    assert last_assignment.load(tmp_path / "f.json", "digits", "pi-7") == FINISHED
    assert [file.name for file in tmp_path.iterdir()] == ["f.json"]


def test_another_federation_has_finished_nothing(tmp_path: Path) -> None:
    last_assignment.save(tmp_path / "f.json", "digits", "pi-7", FINISHED)
    assert last_assignment.load(tmp_path / "f.json", "letters", "pi-7") is None


def test_what_another_device_finished_is_dropped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    last_assignment.save(tmp_path / "f.json", "digits", "pi-7", FINISHED)
    assert last_assignment.load(tmp_path / "f.json", "digits", "pi-8") is None  # its card was copied
    assert "dropped what was remembered" in caplog.text


def test_an_end_is_of_one_life_round_and_model() -> None:
    for life in ("", "0a1b2c3d"):
        end = Finished(sha256="a" * 64, progress=Progress(round=7, life=life, phase="done"))
        assert end.is_of(life, 7, "a" * 64)
        assert not end.is_of("9f8e7d6c", 7, "a" * 64)
        assert not end.is_of(life, 8, "a" * 64)
        assert not end.is_of(life, 7, "")


def test_a_file_that_is_missing_or_damaged_is_as_good_as_none(tmp_path: Path) -> None:
    assert last_assignment.load(tmp_path / "f.json", "digits", "pi-7") is None
    for content in (b"", b'{"federation":"digits","fin', b"\xff\x00"):
        (tmp_path / "f.json").write_bytes(content)
        assert last_assignment.load(tmp_path / "f.json", "digits", "pi-7") is None


def test_a_power_cut_while_saving_leaves_the_old_file(tmp_path: Path) -> None:
    last_assignment.save(tmp_path / "f.json", "digits", "pi-7", FINISHED)
    (tmp_path / "f.new").write_bytes(b'{"half')
    assert last_assignment.load(tmp_path / "f.json", "digits", "pi-7") == FINISHED
    last_assignment.save(tmp_path / "f.json", "digits", "pi-7", FINISHED)
    assert last_assignment.load(tmp_path / "f.json", "digits", "pi-7") == FINISHED
