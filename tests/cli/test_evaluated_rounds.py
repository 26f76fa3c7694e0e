"""What is shown of rounds in which clients evaluate."""

import pytest

from cli.display import Display
from cli.history import HistoryRow, chosen, show
from cli.screen import Screen
from cloud.state.spread import spread_of
from reporting.round_figures import RoundFigures
from reporting.view import View

ACCURACIES = [0.25, 0.75, 0.8]
SPREADS = {"accuracy_before": spread_of(ACCURACIES, "accuracy_before")}
FIGURES = RoundFigures(
    round=2,
    status="closed",
    asked=4,
    accepted=3,
    evaluates=True,
    round_s=1.0,
    overhead_s=0.5,
    split={},
    metrics={"accuracy": 0.99},
    client_metrics={"accuracy_before": 0.6, "accuracy_average": 0.7},
    spreads=SPREADS,
)


def test_the_line_of_the_round_has_what_clients_measured_and_the_worst_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Display(Screen()).show(View(ended=(FIGURES,)))
    told = "closed: 3 of 4 evaluations, accuracy_before 0.6000 accuracy_average 0.7000"
    assert f"{told}, the worst tenth accuracy_before 0.2500, 1.00 s" in capsys.readouterr().out


def test_the_history_of_a_metric_has_the_worst_tenth_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    row = HistoryRow(
        round=2, status="closed", metrics={"accuracy_before": 0.6, "accuracy_average": 0.7}, spreads=SPREADS
    )
    assert chosen([row], ["accuracy"]) == ["accuracy_before", "accuracy_average"]
    show(Screen(), [row], ["accuracy_before", "accuracy_average"], has_worst=True)
    assert "0.6000, worst tenth 0.2500 0.7000" in " ".join(capsys.readouterr().out.split())
    show(Screen(), [row], ["accuracy_before", "accuracy_average"])
    assert "worst" not in capsys.readouterr().out
