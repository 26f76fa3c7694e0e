"""cli/closing.py and cli/run_report.py: what a run came to, at its end, on a screen."""

from pathlib import Path

import msgspec
import pytest

from cli.closing import closing
from cli.run_report import show_closing, write_report
from cli.screen import Screen
from reporting.pictures.recorded_run import RecordedRun
from reporting.records import MODEL, ClientRow, RoundLine
from tests.cli.test_screen import HOSTILE, SHOWN
from tests.reporting.examples import add, create
from tests.reporting.pictures.examples import line, of_records, run_of, with_costs

FOLDER = Path("runs/digits-001")


def told(run: RecordedRun) -> dict[str, list[str]]:
    """The texts of each row, with those that go on with it."""
    found: dict[str, list[str]] = {}
    label = ""
    for name, text in closing(run, FOLDER):
        label = name or label
        found.setdefault(label, []).append(text)
    return found


def lines(*accuracies: float, split: dict[str, float] | None = None) -> list[RoundLine]:
    steps = split or {"open": 1.0, "train": 8.0, "close": 1.0}
    return [
        line(number, 1000.0 + 10 * number, steps, held_out={"accuracy": value, "loss": 1 - value})
        for number, value in enumerate(accuracies, 1)
    ]


def rows(**accuracies: float) -> list[ClientRow]:
    return [
        ClientRow(round=1, client=name, state="accepted", metrics={"accuracy_before": value})
        for name, value in accuracies.items()
    ]


def test_a_run_ends_with_its_model_and_its_metrics() -> None:
    found = told(of_records(lines(0.5, 0.75, 0.625), []))
    assert found["model"][0].startswith(f"{FOLDER / MODEL}, of round 3, ")
    assert found["metrics"] == [
        "accuracy of the global model on held-out data 62.5%; the best 75.0% in round 2",
        "loss of the global model on held-out data 0.3750; the best 0.2500 in round 2",
    ]


def test_without_held_out_data_it_has_the_metrics_of_the_devices_models() -> None:
    found = told(of_records([line(1, 10.0, {}, metrics={"mae_before": 2.0, "mae_after": 0.5})], []))
    assert found["metrics"] == ["mae of the devices' models 0.5000; the best 0.5000 in round 1"]


def test_the_worst_device_is_named_with_the_median() -> None:
    found = told(of_records(lines(0.5), rows(good=0.9, middling=0.8, bad=0.25)))
    assert found["worst device"] == ["bad: accuracy_before 25.0%; the median is 80.0%"]
    assert "worst device" not in told(of_records(lines(0.5), []))


def test_failures_are_counted_and_the_most_frequent_reasons_told() -> None:
    failed = [
        ClientRow(round=number, client=f"d{number}", state="failed", reason=reason)
        for number, reason in enumerate(["wet", "wet", "dry", "cold", "late " * 99])
    ]
    run = of_records(lines(0.5), failed)
    totals = msgspec.structs.replace(run.summary.totals, failed=5, vanished=1, aborted=1)
    run = msgspec.structs.replace(run, summary=msgspec.structs.replace(run.summary, totals=totals))
    first, *reasons = told(run)["failures"]
    assert first == "5 failed, 1 vanished, 1 round without a model"
    assert reasons[0] == "2 times the device failed: wet"
    assert len(reasons) == 3
    assert told(of_records(lines(0.5), []))["failures"] == ["none"]


def test_time_and_what_it_went_to_are_told_without_the_first_round_which_starts_processes() -> None:
    slow, *others = lines(0.1, 0.2, 0.3)
    found = told(of_records([msgspec.structs.replace(slow, round_s=100.0), *others], []))
    whole, steps = found["time"]
    assert whole.startswith("2 min; a round (median) 10 s, of which ")
    assert steps == "open 1 s, train 8 s, close 1 s"


def test_what_aws_would_ask_is_told() -> None:
    run = with_costs(run_of())
    (text,) = told(run)["in AWS"]
    assert text.startswith("these rounds would cost about $")
    assert text.endswith(f", by the prices of {run.costs.region if run.costs else None}")


def test_a_run_without_a_model_says_so() -> None:
    run = of_records([], [])
    none = msgspec.structs.replace(run, summary=msgspec.structs.replace(run.summary, model=None))
    assert told(none)["model"] == ["no round made one"]


def test_on_the_screen_it_is_a_screen_at_most_and_ends_with_the_reports_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "f"
    with create(folder) as writer:
        add(writer, 1, 2, 3)
        writer.finish("finished")
    written = write_report(folder)
    show_closing(Screen(), folder, [("memory", HOSTILE)])
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "3 rounds with 2 devices"
    assert f"memory        {SHOWN}" in shown
    assert shown[-2:] == [f"run folder    {folder}", f"report        {written.path}"]
    assert len(shown) <= 24
