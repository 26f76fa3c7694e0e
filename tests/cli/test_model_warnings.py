"""What is wrong with a round's model is told wherever people look at the round."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from cli.display import Display
from cli.model_warnings import lines, named_value, text_of
from cli.screen import Screen
from operations.deployment import Deployment
from reporting.round_figures import RoundFigures
from reporting.view import View
from sandbox.embedded_aws import EmbeddedAws
from tests.cloud.examples import update_of
from tests.cloud.simulated import SimulatedFederation
from tests.paths import ROOT

VARIANCE = "bn.[0].running_var"


def test_the_timeline_and_the_status_tell_of_a_negative_variance_and_of_metrics_that_are_not_finite(
    aws: EmbeddedAws, deployed: Deployment
) -> None:
    simulated = SimulatedFederation(aws, deployed, "warned")
    simulated.create(["d0"], {VARIANCE: np.ones(2, "<f4")}, {VARIANCE: "F32"}, (VARIANCE,), rounds=1)
    simulated.start()
    simulated.assignment("d0", 1)
    report = simulated.report("d0", 1, after={"loss": None})
    simulated.put("d0", 1, update_of({VARIANCE: np.array([-3, 0], "<f4")}, report, (VARIANCE,)))
    record = simulated.ended(1)

    def told(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env=os.environ | aws.environment | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout

    expected = lines(record.not_finite, record.warnings)
    assert len(expected) == 2
    timeline, status = told("timeline", "warned", "1"), told("status", "warned")
    for line in expected:
        assert line in timeline
        assert f"warned: {line}" in status
    (in_json,) = json.loads(told("status", "warned", "--json"))["result"]["federations"]
    assert (in_json["not_finite"], in_json["warnings"]) == ({"loss_after": 1}, list(record.warnings))
    assert json.loads(told("timeline", "warned", "1", "--json"))["result"]["round"]["not_finite"] == {"loss_after": 1}


def test_a_demo_tells_of_them_below_the_line_of_the_round(capsys: pytest.CaptureFixture[str]) -> None:
    figures = RoundFigures(
        round=1,
        status="closed",
        asked=2,
        accepted=2,
        round_s=1.0,
        overhead_s=0.5,
        split={},
        metrics={"loss": None, "accuracy": 0.5},
        not_finite={"loss_before": 2},
        warnings=("tensor '[bold]' of the new model has a negative variance",),
    )
    Display(Screen()).show(View(ended=(figures,)))
    shown = capsys.readouterr().out
    assert "loss not finite accuracy 0.5000" in shown
    for line in lines(figures.not_finite, figures.warnings):
        assert f"  {line}\n" in shown


def test_a_metric_of_any_size_takes_little_room() -> None:
    assert text_of({"loss": 0.5, "max": 1e308, "min": -1e12}) == "loss 0.5000 max 1.0000e+308 min -1.0000e+12"


def test_one_client_is_no_clients() -> None:
    assert lines({"loss": 1}, ()) == ["warning: loss was not finite on 1 client"]
    assert lines({"loss": 1200}, ()) == ["warning: loss was not finite on 1,200 clients"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("accuracy", 0.931, "93.1%"),
        ("top5_accuracy", 1.0, "100.0%"),
        ("accuracy", 12.0, "12.0000"),
        ("mae", 0.5, "0.5000"),
        ("loss", 0.0, "0.0000"),
        ("mse", 2.5e-7, "2.5000e-07"),
        ("price", 3.2e9, "3.2000e+09"),
        ("accuracy", None, "not finite"),
    ],
)
def test_only_a_share_by_name_is_in_percent(name: str, value: float | None, told: str) -> None:
    assert named_value(name, value) == told


def test_metrics_of_any_number_and_length_leave_room_for_what_follows_them_on_the_line() -> None:
    many = {f"m{number}": 1.0 for number in range(1000)}
    assert text_of(many).endswith(" m7 1.0000 and 992 more metrics")
    assert text_of({"x" * 5000: 1.0, "": 2.0}) == f"{'x' * 77}... 1.0000 '' 2.0000"
    told = lines(dict.fromkeys(many, 3), ())
    assert (len(told), told[-1]) == (9, "warning: 992 more metrics not finite")
    assert len(text_of(dict.fromkeys(("y" * 5000 + str(number) for number in range(1000)), 1.0))) < 1000
