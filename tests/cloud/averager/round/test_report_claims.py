"""cloud/averager/round/report_claims.py: what is kept of a device's word."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averager.round.report_claims import loss_of, phases_of, stratum_of, with_claims
from cloud.state.clients import ClientHistory
from sandbox.example_updates import TIMINGS
from tests.cloud.examples import report


@pytest.mark.parametrize(
    ("told", "loss"),
    [
        ({"after": {"train_loss": 0.5}, "before": {"loss": 2.0}}, 0.5),
        ({"before": {"loss": 2.0}}, 2.0),
        ({"after": {"train_loss": None}, "before": {"loss": 2.0}}, 2.0),
        ({"after": {"train_loss": -1.0}}, None),
        ({"after": {"train_loss": math.inf}}, None),
        ({}, None),
    ],
)
def test_the_loss_is_that_of_training_or_else_that_before_it(told: dict[str, Any], loss: float | None) -> None:
    assert loss_of(report(**told)) == loss


@pytest.mark.parametrize(
    ("described", "stratum"),
    [
        ({"label_cat": 3.0, "label_dog": 5.0, "battery": 99.0}, "dog"),
        ({"label_dog": 5.0, "label_cat": 5.0}, "cat"),
        ({"label_dog": 0.0, "label_cat": None}, None),
        ({"label_": 5.0}, None),
        ({"label_" + "x" * 65: 5.0}, None),
        ({"label_\x1b[2J": 5.0}, None),
        ({"battery": 99.0}, None),
    ],
)
def test_the_stratum_is_the_label_of_which_there_is_most(described: dict[str, Any], stratum: str | None) -> None:
    assert stratum_of(report(describe=described)) == stratum


def test_a_turnaround_is_split_by_the_devices_clock() -> None:
    timings = msgspec.structs.replace(TIMINGS, accepted_at=5.0, downloaded_at=7.0, trained_at=10.0, uploading_at=11.0)
    assert phases_of(report(timings=timings), 20.0) == (2.0, 4.0, 14.0)
    history = ClientHistory(thing="a", turnaround_s=9.0, missed=0, last_round=1)
    kept = with_claims(history, report(timings=timings, before={"loss": 2.0}), 20.0)
    assert (kept.turnaround_s, kept.loss, kept.stratum) == (9.0, 2.0, None)
    assert (kept.download_s, kept.train_s, kept.upload_s) == (2.0, 4.0, 14.0)


@given(st.lists(st.floats(allow_nan=True), min_size=3, max_size=3), st.floats(0, 1e9))
def test_whatever_a_device_says_of_its_clock_the_parts_are_those_of_the_whole(
    clock: list[float], turnaround_s: float
) -> None:
    accepted, downloaded, uploading = clock
    timings = msgspec.structs.replace(
        TIMINGS, accepted_at=accepted, downloaded_at=downloaded, trained_at=uploading, uploading_at=uploading
    )
    parts = phases_of(report(timings=timings), turnaround_s)
    assert all(0 <= part <= turnaround_s for part in parts)
    assert math.fsum(parts) == pytest.approx(turnaround_s)
