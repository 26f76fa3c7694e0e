"""cli/picture.py: a federation as it is now, on a terminal of 80 columns."""

import io
from typing import Any, get_args

import pytest
from rich.console import Console, Group
from rich.text import Text

from cli.picture import METRICS, picture
from cli.sparkline import BARS
from cloud.state.records import ResponseRecord, RoundResult
from cloud.state.rounds import Responses
from protocol.messages import Phase, Progress
from reporting.round_figures import RoundFigures
from reporting.view import View
from tests.cli.test_screen import HOSTILE, SHOWN
from tests.cloud.examples import round_record

THINGS = [f"pi-{number:02}" for number in range(10)]
OPEN = round_record(*THINGS, round=4, opened_at=1000.0, deadline=1600.0)


def figures(number: int, **changes: Any) -> RoundFigures:
    fields: dict[str, Any] = {
        "round": number,
        "status": "closed",
        "asked": 10,
        "accepted": 10,
        "round_s": 12.5,
        "overhead_s": 2.0,
        "split": {"open": 0.02, "download": 1.5, "train": 10.0, "upload": 1.0},
        "metrics": {},
        "client_metrics": {"accuracy_after": number / 10, "loss_after": 1 / number},
    }
    return RoundFigures(**fields | changes)


def view(**changes: Any) -> View:
    fields: dict[str, Any] = {
        "federation": "digits",
        "round": 4,
        "rounds": 8,
        "state": "open",
        "open": OPEN,
        "earlier": (
            RoundResult(round=1, status="closed", opened_at=0.0, accepted=10, metrics={"accuracy_after": 0.9}),
            RoundResult(round=2, status="aborted", opened_at=0.0),
        ),
        "ended": (figures(3),),
    }
    return View(**fields | changes)


def drawn(shown: View, *, width: int = 80, has_bars: bool = True) -> list[str]:
    """The lines, as a terminal of this width has them."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(Group(*picture(shown, 1042.0, columns=width, has_bars=has_bars)))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_it_has_rounds_devices_curves_time_and_dollars() -> None:
    heard = {
        "pi-00": Progress(round=4, phase="training", epoch=1, epochs=4),
        "pi-01": Progress(round=4, phase="training", epoch=2, epochs=4),
        "pi-02": Progress(round=4, phase="uploading"),
    }
    counted = ResponseRecord(thing="pi-03", state="accepted", arrived_at=1.0, inspected_at=1.0)
    lines = drawn(view(heard=heard, answers=Responses(accepted=(counted,))))
    assert lines[0] == "digits  round 4 of 8: open, for 42 s, deadline in 9.3 min"
    assert "devices           asked 6  training 2  uploading 1  counted 1" in lines


def test_counts_of_many_states_go_on_in_another_line() -> None:
    heard = {thing: Progress(round=4, phase=phase) for thing, phase in zip(THINGS, get_args(Phase), strict=False)}
    counted = ResponseRecord(thing="pi-09", state="accepted", arrived_at=1.0, inspected_at=1.0)
    lines = drawn(view(heard=heard, answers=Responses(accepted=(counted,))))
    place = lines.index("devices           asked 3  accepted 1  training 1  uploading 1  done 1")
    assert lines[place + 1] == f"{'':18}counted 1  declined 1  failed 1"


def test_training_and_metrics_and_time_and_dollars() -> None:
    heard = {
        "pi-00": Progress(round=4, phase="training", epoch=1, epochs=4),
        "pi-01": Progress(round=4, phase="training", epoch=2, epochs=4),
    }
    lines = drawn(view(heard=heard, ended=(figures(3, spent_usd=0.0123),)))
    assert [" ".join(line.split()) for line in lines if line.startswith("training")] == [
        "training 38% of it, 2 devices"
    ]
    assert [" ".join(line.split()) for line in lines if "_after" in line] == [
        "accuracy_after 0.9000 █ ▁ 0.3000 best 0.9000 in 1",
        "loss_after 0.3333 ▁ 0.3333 best 0.3333 in 3",
    ]
    assert "round 3           12.5 s  download 1.5  train 10.0  upload 1.0" in lines
    assert lines[-1] == "dollars in AWS    $0.012 so far, estimated"


def test_nothing_is_wider_than_80_columns_or_more_than_a_screen() -> None:
    metrics = {f"a_metric_with_a_name_that_is_very_long_{number}": number / 3 for number in range(40)}
    failed = [
        ResponseRecord(thing=thing, state="failed", arrived_at=1.0, inspected_at=1.0, reason=f"{thing} " + "long " * 99)
        for thing in THINGS
    ]
    many = view(ended=(figures(3, client_metrics=metrics),), answers=Responses(failed=tuple(failed)))
    lines = drawn(many)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    assert sum("a_metric" in line for line in lines) == METRICS - 1
    assert any(line.startswith("  pi-00 failed: pi-00 long") and line.endswith("…") for line in lines)


@pytest.mark.parametrize("columns", [30, 40, 60, 79])
def test_bars_and_curves_end_where_a_narrow_terminal_ends(columns: int) -> None:
    heard = {"pi-00": Progress(round=4, phase="training", epoch=1, epochs=4)}
    lines = picture(view(heard=heard, ended=(figures(3, spent_usd=0.01),)), 1042.0, columns=columns)
    bars = [line for line in lines if isinstance(line, Text) and any("on " in str(span.style) for span in line.spans)]
    curves = [line for line in lines if isinstance(line, Text) and set(line.plain) & set(BARS)]
    assert len(bars) == 4
    assert len(curves) == 2
    assert all(span.end <= columns for line in bars for span in line.spans if "on " in str(span.style))
    assert all(place < columns for line in curves for place, character in enumerate(line.plain) if character in BARS)


def test_who_failed_is_told_with_the_reason_and_nothing_of_it_controls_a_terminal() -> None:
    failed = ResponseRecord(thing="pi-04", state="refused", arrived_at=1.0, inspected_at=1.0, reason=HOSTILE)
    lines = drawn(view(answers=Responses(refused=(failed,))), width=300)
    assert f"  pi-04 refused: {SHOWN}" in lines
    assert "devices           asked 9  refused 1" in lines


def test_what_holds_it_is_told_instead_of_the_round() -> None:
    held = view(open=None, held_by="paused: it goes on with fedgrass resume digits")
    assert drawn(held)[0] == "digits  paused: it goes on with fedgrass resume digits"


def test_a_terminal_without_the_characters_of_curves_has_the_numbers() -> None:
    lines = drawn(view(), has_bars=False)
    assert all(line.isascii() for line in lines)
    assert any(" ".join(line.split()).startswith("accuracy_after 0.9000 0.3000") for line in lines)


def test_metrics_that_are_not_finite_leave_gaps() -> None:
    gap = figures(4, client_metrics={"accuracy_after": None})
    lines = drawn(view(ended=(figures(3), gap)))
    assert any("best 0.9000 in 1" in line for line in lines)
