import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from components.client.trainer.files.round_files import Belonging, CheckpointState, RoundFiles, Update, UpdateState
from protocol.messages import Training

BELONGING = Belonging(
    federation="digits",
    thing="device-1",
    round=3,
    model="a" * 64,
    task="b" * 64,
    training=Training(batch_size=8, learning_rate=0.1, epochs=2),
    encoding="float32",
    component="0.1.0",
)
STATE = CheckpointState(examples=32, before={"loss": 1.0}, downloaded_at=5.0, train_s=2.0, values={"epoch": 1})
UPDATE = Update(UpdateState(bucket="b", key="k", schema="s", update_bytes=6), b"update", b"rest")


def files(directory: Path, **changes: Any) -> RoundFiles:
    return RoundFiles(directory / "round", msgspec.structs.replace(BELONGING, **changes))


def test_a_checkpoint_is_there_after_a_restart(tmp_path: Path) -> None:
    files(tmp_path).save_checkpoint(STATE, b"old")
    files(tmp_path).save_checkpoint(STATE, b"weights")
    assert files(tmp_path).load_checkpoint() == (STATE, bytearray(b"weights"))
    assert len(list((tmp_path / "round").iterdir())) == 1


def test_an_update_takes_the_place_of_its_checkpoint(tmp_path: Path) -> None:
    files(tmp_path).save_checkpoint(STATE, b"weights")
    files(tmp_path).save_update(UPDATE)
    assert files(tmp_path).load_update() == UPDATE
    assert files(tmp_path).load_checkpoint() is None


def test_nothing_is_left_of_a_round_that_is_over(tmp_path: Path) -> None:
    files(tmp_path).save_update(UPDATE)
    files(tmp_path).clear()
    files(tmp_path).clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"federation": "letters"}, 'another federation: "digits", not "letters"'),
        ({"thing": "device-2"}, "another thing"),
        ({"life": "0a1b2c3d"}, 'another life: "", not "0a1b2c3d"'),
        ({"round": 4}, "another round: 3, not 4"),
        ({"model": "c" * 64}, "another model"),
        ({"task": "c" * 64}, "another task"),
        ({"training": Training(batch_size=9, learning_rate=0.1, epochs=2)}, "another training"),
        ({"encoding": "other"}, "another encoding"),
        ({"component": "0.2.0"}, 'another component: "0.1.0", not "0.2.0"'),
    ],
)
def test_what_does_not_belong_to_the_round_is_dropped_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], named: str
) -> None:
    files(tmp_path).save_update(UPDATE)
    files(tmp_path).save_checkpoint(STATE, b"weights")
    later = files(tmp_path, **changes)
    with caplog.at_level(logging.WARNING):
        assert later.load_update() is None
        assert later.load_checkpoint() is None
    assert [record.message for record in caplog.records] == [
        "dropped the update that was kept",
        "dropped the checkpoint that was kept",
    ]
    assert all(named in record.reason for record in caplog.records)  # type: ignore[attr-defined]
    assert list((tmp_path / "round").iterdir()) == []


def test_a_torn_checkpoint_is_dropped_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files(tmp_path).save_checkpoint(STATE, b"weights" * 1000)
    path = tmp_path / "round" / "checkpoint"
    path.write_bytes(path.read_bytes()[:5000])
    assert files(tmp_path).load_checkpoint() is None
    assert files(tmp_path).load_checkpoint() is None
    assert [str(record.reason) for record in caplog.records] == ["its SHA-256 is wrong"]  # type: ignore[attr-defined]
    assert not path.exists()


def test_a_disk_that_takes_nothing_is_named_once_and_the_round_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "round").mkdir()
    (tmp_path / "round" / "checkpoint.new").symlink_to("/dev/full")
    kept = files(tmp_path)
    kept.save_checkpoint(STATE, b"weights" * 10_000)
    (tmp_path / "round" / "update.new").symlink_to("/dev/full")
    kept.save_update(Update(UPDATE.state, b"update" * 10_000, b""))
    assert [record.message for record in caplog.records] == [
        "cannot keep the checkpoint: a power cut would cost the round's work"
    ]
