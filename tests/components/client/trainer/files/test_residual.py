"""files/residual.py: what an encoding left out comes with the next update, once, or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.client.trainer.files.residual import Owner, Residuals
from protocol.encodings import Floats

COUNT = 300


def residuals(
    directory: Path,
    federation: str = "digits",
    schema: str = "s",
    n_parameters: int = COUNT,
    life: str = "",
    thing: str = "t",
) -> Residuals:
    owner = Owner(federation=federation, life=life, thing=thing, schema=schema)
    return Residuals(directory / "residuals", owner, n_parameters)


def left_of(round_number: int) -> Floats:
    return np.random.default_rng(round_number).normal(size=COUNT).astype(np.float32)


def same(one: Floats | None, other: Floats) -> bool:
    return one is not None and one.tobytes() == other.tobytes()


def test_the_first_update_has_nothing_to_make_up_for(tmp_path: Path) -> None:
    assert residuals(tmp_path).before(1) is None
    assert list(tmp_path.iterdir()) == []


def test_what_was_kept_is_there_for_the_next_round_after_a_restart(tmp_path: Path) -> None:
    residuals(tmp_path).keep(3, left_of(3))
    assert same(residuals(tmp_path).before(4), left_of(3))
    assert same(residuals(tmp_path).before(9), left_of(3))


def test_a_round_that_is_trained_again_starts_from_what_it_started_from(tmp_path: Path) -> None:
    kept = residuals(tmp_path)
    kept.keep(3, left_of(3))
    kept.keep(5, left_of(5))
    assert same(kept.before(5), left_of(3))
    kept.keep(5, left_of(5))
    assert same(kept.before(5), left_of(3))
    assert same(kept.before(6), left_of(5))


def test_no_more_than_two_rounds_are_kept(tmp_path: Path) -> None:
    kept = residuals(tmp_path)
    for round_number in range(1, 20):
        kept.keep(round_number, left_of(round_number))
    names = sorted(path.name for path in (tmp_path / "residuals").iterdir())
    assert names == ["00000018.safetensors", "00000019.safetensors"]


def test_a_federation_that_begins_anew_does_not_go_on_from_its_former_rounds(tmp_path: Path) -> None:
    kept = residuals(tmp_path)
    kept.keep(7, left_of(7))
    assert kept.before(1) is None
    kept.keep(1, left_of(1))
    assert same(kept.before(9), left_of(1))


@pytest.mark.parametrize(
    "other",
    [
        {"federation": "letters"},
        {"schema": "another"},
        {"life": "0a1b2c3d"},
        {"thing": "whose card this one's is a copy of"},
    ],
)
def test_a_residual_of_another_owner_is_dropped_and_said_and_ones_own_is_still_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: dict[str, Any]
) -> None:
    residuals(tmp_path, **other).keep(1, left_of(1))
    residuals(tmp_path).keep(3, left_of(3))
    residuals(tmp_path, **other).keep(4, left_of(4))
    assert same(residuals(tmp_path).before(9), left_of(3))
    (reason,) = (str(vars(record)["reason"]) for record in caplog.records)
    assert reason.startswith(f"it is of another {next(iter(other))}")
    assert [path.name for path in (tmp_path / "residuals").iterdir()] == ["00000003.safetensors"]


def test_a_residual_of_another_length_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    residuals(tmp_path).keep(1, left_of(1))
    assert residuals(tmp_path, n_parameters=COUNT + 1).before(2) is None
    assert "starts without a residual" in caplog.text


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_torn_file_is_said_and_the_update_starts_from_zero(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    kept = residuals(tmp_path)
    kept.keep(1, left_of(1))
    kept.keep(2, left_of(2))
    path = tmp_path / "residuals" / "00000002.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    assert kept.before(3) is None  # not that of round 1, which round 2 has sent
    assert "starts without a residual" in caplog.text
    kept.keep(3, left_of(3))
    assert same(kept.before(4), left_of(3))


def test_values_that_are_not_finite_are_never_added(tmp_path: Path) -> None:
    bad = left_of(1)
    bad[7] = np.nan
    kept = residuals(tmp_path)
    kept.keep(1, bad)
    assert kept.before(2) is None


def test_a_half_written_file_is_none(tmp_path: Path) -> None:
    kept = residuals(tmp_path)
    kept.keep(1, left_of(1))
    (tmp_path / "residuals" / "00000002.new").write_bytes(b"cut off")
    assert same(kept.before(3), left_of(1))


def test_a_residual_that_cannot_be_kept_is_not_sent_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = residuals(tmp_path)
    kept.keep(1, left_of(1))
    (tmp_path / "residuals" / "00000002.new").mkdir()  # no file can be written there, for root neither
    kept.keep(2, left_of(2))
    assert "cannot keep the residual" in caplog.text
    assert kept.before(3) is None
