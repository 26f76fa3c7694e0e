from pathlib import Path

from components.client import finished
from components.client.finished import Finished
from protocol.messages import Progress

FINISHED = Finished(sha256="a" * 64, progress=Progress(round=7, phase="failed", reason="no", at=1.5))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    finished.save(tmp_path / "f.json", "digits", FINISHED)
    assert finished.load(tmp_path / "f.json", "digits") == FINISHED
    assert [file.name for file in tmp_path.iterdir()] == ["f.json"]


def test_another_federation_has_finished_nothing(tmp_path: Path) -> None:
    finished.save(tmp_path / "f.json", "digits", FINISHED)
    assert finished.load(tmp_path / "f.json", "letters") is None


def test_a_file_that_is_missing_or_damaged_is_as_good_as_none(tmp_path: Path) -> None:
    assert finished.load(tmp_path / "f.json", "digits") is None
    for content in (b"", b'{"federation":"digits","fin', b"\xff\x00"):
        (tmp_path / "f.json").write_bytes(content)
        assert finished.load(tmp_path / "f.json", "digits") is None


def test_a_power_cut_while_saving_leaves_the_old_file(tmp_path: Path) -> None:
    finished.save(tmp_path / "f.json", "digits", FINISHED)
    (tmp_path / "f.new").write_bytes(b'{"half')
    assert finished.load(tmp_path / "f.json", "digits") == FINISHED
    finished.save(tmp_path / "f.json", "digits", FINISHED)
    assert finished.load(tmp_path / "f.json", "digits") == FINISHED
