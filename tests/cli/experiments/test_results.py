"""What runs come to: metrics of a run, mean and range over the seeds, who is best, and the curves of the plots."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from cli.experiments.curves import MAX_LINES, plots_of
from cli.experiments.metrics import Metric, metrics_of
from cli.experiments.result_files import table, told, write
from cli.experiments.results import Results, RunRounds, Spread, results_of
from cli.experiments.round_times import round_times_of
from cli.experiments.runs import PlannedRun
from cli.project import Project
from cli.settings.parsing import parse
from cli.simulation_inputs import Options
from reporting.records import STEPS, RoundLine

OUT = Path("/out")
SETTINGS = parse({"name": "small", "training": {"steps": 1, "batch_size": 1, "learning_rate": 0.1}})


def metric(text: str, goal: str = "max") -> Metric:
    (found,) = metrics_of({text: goal}, [])
    return found


def line(number: int, held_out: float | None = None, clients: float | None = None, s: float = 0.0) -> RoundLine:
    return RoundLine(
        round=number,
        status="closed",
        opened_at=s,
        ended_at=s,
        round_s=1,
        cohort=1,
        target=1,
        quorum=1,
        learning_rate=0.1,
        model_sha256="",
        held_out={"accuracy": held_out},
        metrics={} if clients is None else {"accuracy_after": clients},
    )


def lines(*values: float | None) -> tuple[RoundLine, ...]:
    return tuple(line(number, value, s=10.0 * number) for number, value in enumerate(values, 1))


@pytest.mark.parametrize(
    ("text", "goal", "value"),
    [
        ("accuracy", "max", 0.6),
        ("best accuracy", "max", 0.8),
        ("best accuracy", "min", 0.1),
        ("rounds until accuracy >= 0.5", "min", 3),
        ("seconds until accuracy >= 0.5", "min", 30.0),
        ("rounds until accuracy <= 0.2", "min", 1),
        ("rounds until accuracy >= 0.9", "min", None),
        ("rounds until accuracy >= 5e-1", "min", 3),
        ("clients.accuracy_after", "max", None),
    ],
)
def test_a_metric_of_a_run(text: str, goal: str, value: float | None) -> None:
    assert metric(text, goal).value(lines(0.1, None, 0.8, 0.6)) == value


def test_a_value_that_is_not_finite_at_the_end_is_none_and_a_round_without_one_is_passed_over() -> None:
    assert metric("accuracy").value(lines(0.1, None)) is None
    assert metric("clients.accuracy_after").value([line(1, clients=0.5), line(2)]) == 0.5
    assert metric("accuracy").value([]) is None


def run(combination: str, seed: int, *values: float | None, failure: str | None = None) -> RunRounds:
    planned = PlannedRun(
        combination=combination,
        project=Project(path=Path("/project/federation.yaml"), settings=SETTINGS),
        given=(),
        options=Options(seed=seed, out=OUT / "runs" / combination / f"seed-{seed}"),
        identity={},
    )
    return RunRounds(planned=planned, lines=lines(*values), failure=failure)


def results(runs: Sequence[RunRounds], *metrics: Metric) -> Results:
    names = dict.fromkeys(each.planned.combination for each in runs)
    return results_of(OUT, (0, 1), metrics, {name: {"training.steps": 1} for name in names}, runs)


def test_the_best_mean_wins_and_fewer_runs_without_the_metric_before_it() -> None:
    found = results(
        [
            run("steady", 0, 0.5),
            run("steady", 1, 0.7),
            run("lucky", 0, 0.99),
            run("lucky", 1, failure="it broke"),
            run("weak", 0, 0.4),
            run("weak", 1, 0.7),
        ],
        metric("accuracy"),
    )
    spreads = {each.name: each.metrics["accuracy"] for each in found.combinations}
    assert found.best == {"accuracy": ("steady",)}
    assert spreads["steady"] == Spread(mean=0.6, min=0.5, max=0.7, missing=0, is_best=True)
    assert spreads["lucky"] == Spread(mean=0.99, min=0.99, max=0.99, missing=1)
    assert [(one.name, failed.reason) for one, failed in found.failed] == [("lucky", "it broke")]


def test_less_is_better_where_the_goal_says_so_and_who_is_alike_is_alike() -> None:
    runs = [run("a", 0, 3.0), run("b", 0, 1.0), run("c", 0, 1.0)]
    assert results(runs, metric("accuracy", "min")).best == {"accuracy": ("b", "c")}
    assert results(runs[1:], metric("accuracy", "min")).best == {"accuracy": ()}
    assert results([run("a", 0, None)], metric("accuracy")).best == {"accuracy": ()}


def test_a_spread_in_words() -> None:
    assert told(Spread(mean=0.5, min=0.5, max=0.5, missing=0)) == "0.5"
    assert told(Spread(mean=0.52346, min=0.5, max=0.54321, missing=0)) == "0.5235 (0.5 to 0.5432)"
    assert told(Spread(mean=12.0, min=10.0, max=14.0, missing=1)) == "12 (10 to 14), 1 without"
    assert told(Spread(mean=None, min=None, max=None, missing=3)) == "-"


def test_the_table_marks_the_best_and_has_a_column_of_failures_if_there_are_any() -> None:
    runs = [run("a", 0, 0.5), run("b", 0, 0.25)]
    assert table(results(runs, metric("accuracy"))).rows == [("a", "0.5 *"), ("b", "0.25")]
    failed = table(results([*runs, run("b", 1, failure="broke")], metric("accuracy")))
    assert failed.columns == ("combination", "accuracy", "failed")
    assert failed.rows == [("a", "0.5 *", ""), ("b", "0.25, 1 without", "1 of 2")]


def test_files_do_not_say_where_they_lie(tmp_path: Path) -> None:
    write(results([run("a", 0, 0.5)], metric("accuracy")), tmp_path)
    assert str(OUT) not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_a_curve_has_the_rounds_that_all_seeds_have_and_their_range() -> None:
    runs = [run("a", 0, 0.25, 0.5, 0.7), run("a", 1, 0.75, None), run("a", 2, 0.5, 0.5), run("b", 0, failure="broke")]
    metrics = [metric("rounds until accuracy >= 0.9", "min"), metric("best accuracy")]
    (plot,) = plots_of(metrics, results(runs, *metrics), runs)
    (curve,) = plot.curves
    assert (plot.metric, curve.combination, curve.rounds, curve.seconds) == ("accuracy", "a", (1,), (10.0,))
    assert (curve.low, curve.mean, curve.high) == ((0.25,), (0.5,), (0.75,))


@pytest.mark.parametrize(("goal", "kept"), [("max", range(3, 15)), ("min", range(12))])
def test_a_plot_has_the_best_combinations_and_says_how_many_it_leaves_out(goal: str, kept: range) -> None:
    runs = [run(f"c{number:02d}", 0, number / 20) for number in range(15)]
    metrics = [metric("accuracy", goal)]
    (plot,) = plots_of(metrics, results(runs, *metrics), runs)
    assert len(kept) == MAX_LINES
    assert [curve.combination for curve in plot.curves] == [f"c{number:02d}" for number in kept]
    assert plot.left_out == 3


def split_line(split: dict[str, float], round_s: float) -> RoundLine:
    return msgspec.structs.replace(line(1), split=split, round_s=round_s)


def timed(combination: str, *of_it: RoundLine) -> RunRounds:
    return msgspec.structs.replace(run(combination, 0), lines=of_it)


def test_the_time_of_a_round_is_the_mean_of_its_parts_and_all_of_it_where_no_update_came() -> None:
    runs = [
        timed("a", split_line({"download": 1.0, "train": 4.0}, 5.0), split_line({}, 9.0)),
        timed("a", split_line({"download": 4.0, "train": 2.0, "upload": 3.0}, 9.0)),
        timed("b", split_line({"train": 2.0}, 2.0)),
    ]
    found = {each.combination: dict(zip(STEPS, each.parts, strict=True)) for each in round_times_of(["b", "a"], runs)}
    assert list(found) == ["b", "a"]
    taken = {part: seconds for part, seconds in found["a"].items() if seconds}
    assert taken == pytest.approx({"download": 5 / 3, "train": 2.0, "upload": 1.0, "wait": 3.0})
    assert sum(found["a"].values()) == pytest.approx((5 + 9 + 9) / 3)


def test_what_a_client_did_before_a_round_began_is_none_of_its_time() -> None:
    late = split_line({"open": 0.0, "notify": -6.0, "download": 1.0, "train": 6.0, "upload": 1.0}, 2.0)
    (found,) = round_times_of(["a"], [timed("a", late)])
    assert {part: s for part, s in zip(STEPS, found.parts, strict=True) if s} == {"train": 1.0, "upload": 1.0}
    assert found.seconds == 2.0


def test_rounds_that_take_no_time_and_runs_that_failed_have_no_bar() -> None:
    assert round_times_of(["a"], [timed("a", split_line({"train": 0.0}, 0.0))]) == []
    assert round_times_of(["a"], [run("a", 0, 0.5, failure="broke")]) == []
