"""cli/run_failures.py and cli/display.py: a run tells who failed and why; it fails if too many did."""

from pathlib import Path

import msgspec
import pytest

from cli.display import Display
from cli.errors.kind import ResultError
from cli.run_failures import (
    LINES,
    DevicesFailedError,
    NoRoundClosedError,
    RoundsFailedError,
    lines,
    logs,
    verdict,
)
from cli.screen import Screen
from cloud.state.records import ResponseRecord
from cloud.state.rounds import Responses
from protocol.messages import Progress
from reporting.round_figures import Failing, RoundFigures, failing_of
from reporting.view import View
from tests.cloud.examples import round_record


def failing(count: int, reason: str = "train() of task.py: ValueError: [x]", first: int = 0) -> list[Failing]:
    return [Failing(thing=f"d{n:03d}", state="failed", reason=reason) for n in range(first, first + count)]


def figures(number: int = 1, *, status: str = "closed", asked: int = 8, failed: int = 0) -> RoundFigures:
    return RoundFigures(
        round=number,
        status=status,
        asked=asked,
        accepted=asked - failed,
        round_s=1.0,
        overhead_s=1.0,
        split={},
        metrics={"loss": 0.5},
        failing=failing(failed),
        reason="all clients have answered, with 0 updates" if status == "aborted" else None,
    )


def test_a_few_failing_devices_have_a_line_each() -> None:
    assert list(lines(failing(2))) == [f"d00{n} failed: train() of task.py: ValueError: [x]" for n in range(2)]
    assert len(list(lines(failing(LINES)))) == LINES


def test_many_failing_devices_share_lines_by_their_reasons() -> None:
    told = list(lines([*failing(3, "rare"), *failing(15, "frequent", 3)]))
    assert told == ["d003, d004, d005 and 12 more failed: frequent", "d000, d001, d002 failed: rare"]


def test_no_number_of_reasons_makes_more_lines_than_a_screen_has() -> None:
    every = [each for n in range(200) for each in failing(1, f"reason {n}", n)]
    told = list(lines(every))
    assert len(told) == LINES + 1
    assert told[-1] == "and 192 more for other reasons"


@pytest.mark.parametrize(
    ("history", "failed"),
    [
        ([figures()], None),
        ([figures(failed=4)], None),
        ([figures(failed=5)], DevicesFailedError),
        ([figures(failed=8), figures(2)], None),
        ([figures(status="aborted", failed=8)], NoRoundClosedError),
        ([figures(status="aborted"), figures(2, status="aborted")], NoRoundClosedError),
        ([figures(status="aborted"), figures(2)], None),
        ([figures(status="aborted"), figures(2, status="aborted"), figures(3)], RoundsFailedError),
    ],
)
def test_a_run_fails_with_too_many_rounds_without_a_model_or_devices_that_failed_at_last(
    history: list[RoundFigures], failed: type[ResultError] | None
) -> None:
    found = verdict(history)
    assert (found and found[0]) == failed


def test_each_rounds_line_is_followed_by_the_devices_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(Screen())
    first = figures(status="aborted", asked=2, failed=2)
    second = msgspec.structs.replace(figures(2), split={"open": 0.25, "train": 0.75})
    display.show(View(round=1, rounds=2, ended=(first,)))
    display.show(View(round=2, rounds=2, ended=(first, second)))
    assert capsys.readouterr().out.splitlines() == [
        "round   1 aborted: 0 of 2 updates, loss 0.5000, 1.00 s, all clients have answered, with 0 updates",
        "  d000 failed: train() of task.py: ValueError: [x]",
        "  d001 failed: train() of task.py: ValueError: [x]",
        "round   2 closed: 8 of 8 updates, loss 0.5000, 1.00 s (open 0.25 train 0.75)",
    ]


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (None, "d silent: no answer until the deadline; nothing was heard of it"),
        (Progress(round=1, phase="training"), "d silent: no answer until the deadline; last heard of: training"),
        (
            Progress(round=1, phase="failed", reason="deadline passed in train() of task.py"),
            "d failed: deadline passed in train() of task.py",
        ),
        (Progress(round=1, phase="declined", reason="battery low"), "d declined: battery low"),
        (Progress(round=1, phase="failed"), "d failed: it gave no reason"),
    ],
)
def test_a_device_that_no_answer_counts_of_is_told_with_its_last_word(last: Progress | None, told: str) -> None:
    record = round_record("d", status="aborted", vanished=("d",))
    assert list(lines(failing_of(record, Responses(), {"d": last}))) == [told]


def test_who_answers_when_enough_others_have_done_so_has_not_failed() -> None:
    refused = [
        ResponseRecord(thing=thing, state="refused", arrived_at=1.0, inspected_at=1.0, reason=reason)
        for thing, reason in (("slow", "late: the round is averaging"), ("broken", "no safetensors"))
    ]
    found = failing_of(round_record("slow", "broken"), Responses(refused=tuple(refused)), {})
    assert list(lines(found)) == ["broken refused: no safetensors"]


def test_the_logs_of_devices_that_failed_are_named_where_they_are_kept(tmp_path: Path) -> None:
    history = [figures(failed=1), figures(2, failed=2), figures(3)]
    log = "logs/com.fedgrass.Client.log"
    assert list(logs(history, tmp_path)) == [
        f"{thing} failed; its log: {tmp_path}/devices/{thing}/{log}" for thing in ("d000", "d001")
    ]
    assert list(logs(history, None)) == ["with --keep DIR, the logs of the devices that failed are kept"]
    assert list(logs([figures()], None)) == []
    assert len(list(logs([figures(failed=100, asked=200)], tmp_path))) == LINES + 1


def test_what_holds_a_federation_is_told_once_and_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(Screen())
    for held_by in (None, "paused", "paused", None, None):
        display.show(View(held_by=held_by))
    assert capsys.readouterr().out.splitlines() == ["paused", "it goes on"]


def test_without_held_out_data_a_round_shows_the_devices_own_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    own = msgspec.structs.replace(figures(), metrics={}, client_metrics={"mae_before": 2.0, "mae_after": 0.00012})
    Display(Screen()).show(View(ended=(own,)))
    assert "8 of 8 updates, mae_after 1.2000e-04, 1.00 s" in capsys.readouterr().out
