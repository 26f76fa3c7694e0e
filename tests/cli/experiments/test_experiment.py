"""`fedgrass experiment`: runs what a file asks for, goes on after an interruption, and tabulates and plots it."""

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from reporting.run_folder import RunFolder
from tests.cli.experiments.projects import COMMAND, MATRIX, experiment, write_project, written
from tests.docs.markdown import blocks, spans, table
from tests.paths import ROOT

COMBINATIONS = [f"learning_rate={rate},rule={rule}" for rate in (0.1, 0.5) for rule in ("weighted", "median")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_project(tmp_path)
    (tmp_path / "matrix.yaml").write_text(MATRIX)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an experiment that was never interrupted, two runs at a time."""
    folder = tmp_path_factory.mktemp("finished")
    write_project(folder)
    (folder / "matrix.yaml").write_text(MATRIX)
    ran = experiment(folder / "matrix.yaml", "--jobs", "2", LOADED=str(folder / "loaded"))
    assert ran.returncode == 0, ran.stderr
    (folder / "said").write_text(ran.stdout)
    return folder


def summary_of(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "results" / "summary.json").read_text())
    return found


def test_each_combination_has_a_row_with_mean_and_range_of_what_its_runs_have(finished: Path) -> None:
    results = finished / "results"
    with (results / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["combination"] for row in rows] == COMBINATIONS
    assert [(row["training.learning_rate"], row["averaging.rule"]) for row in rows][:2] == [
        ("0.1", "weighted"),
        ("0.1", "median"),
    ]
    for row in rows:
        runs = [list(RunFolder(results / "runs" / row["combination"] / f"seed-{seed}").rounds()) for seed in (0, 1)]
        accuracies = [lines[-1].held_out["accuracy"] or 0.0 for lines in runs]
        assert float(row["accuracy: mean"]) == pytest.approx(sum(accuracies) / 2)
        assert (float(row["accuracy: min"]), float(row["accuracy: max"])) == (min(accuracies), max(accuracies))
        losses = [lines[-1].metrics["loss_after"] or 0.0 for lines in runs]
        assert float(row["clients.loss_after: mean"]) == pytest.approx(sum(losses) / 2)
        assert (row["rounds until accuracy >= 0.99: mean"], row["rounds until accuracy >= 0.99: missing"]) == ("", "2")
        assert float(row["seconds until accuracy >= 0.1: min"]) > 0
    best = max(rows, key=lambda row: float(row["accuracy: mean"]))
    assert best["accuracy: best"] == "1"
    table = (results / "table.md").read_text()
    assert table.count("\n| learning_rate=") == 4
    assert "**" in table


def test_a_line_a_run_is_said_where_nothing_moves_and_the_table_at_the_end(finished: Path) -> None:
    lines = (finished / "said").read_text().splitlines()
    assert sum(", seed " in line and "accuracy 0." in line for line in lines) == 8
    (header,) = [number for number, line in enumerate(lines) if line.startswith("combination  ")]
    assert [line.split("  ")[0] for line in lines[header + 1 : header + 5]] == COMBINATIONS


def test_plots_have_a_line_and_a_band_a_combination(finished: Path) -> None:
    plots = {path.name: path for path in (finished / "results").glob("*.svg")}
    of = ("accuracy", "clients.loss_after")
    curves = {f"{metric}-by-{across}.svg" for metric in of for across in ("round", "time")}
    assert plots.keys() == {*curves, "round-time.svg"}
    for path in (plots[name] for name in curves):
        ids = {element.get("id") for element in ElementTree.parse(path).iter()}  # noqa: S314 - it is ours
        for name in COMBINATIONS:
            assert {f"line {name}", f"band {name}"} <= ids


def test_what_a_round_takes_its_time_for_is_a_bar_a_combination(finished: Path) -> None:
    svg = ElementTree.parse(finished / "results" / "round-time.svg")  # noqa: S314 - it is ours
    ids = {element.get("id") for element in svg.iter()}
    assert {f"train {name}" for name in COMBINATIONS} <= ids


def test_each_process_loads_the_data_once(finished: Path) -> None:
    loaded = Counter((finished / "loaded").read_text().splitlines())
    assert {line.split()[2] for line in loaded} == {"a", "b", "c", "d", "held-out"}
    assert set(loaded.values()) == {1}
    assert len({line.split()[0] for line in loaded}) <= 3  # two workers, and the check before them


def test_a_finished_one_is_tabulated_again_without_a_run(finished: Path) -> None:
    runs = finished / "results" / "runs"
    times = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    (finished / "other.yaml").write_text(MATRIX.replace("  best accuracy: max\n", ""))
    ran = experiment(finished / "other.yaml", "--json")
    envelope = json.loads(ran.stdout)
    assert envelope["ok"]
    assert list(envelope["result"]["combinations"][0]["metrics"])[:2] == ["accuracy", "clients.loss_after"]
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == times
    assert experiment(finished / "matrix.yaml").returncode == 0


def wait_until(there: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Until something that will happen has."""
    until = time.monotonic() + 300
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.02)


def test_one_that_was_ended_goes_on_to_the_same_results(folder: Path, finished: Path) -> None:
    """It is ended twice in the middle of a run, when others are done. One job or two, it makes no difference."""

    def ended(how: signal.Signals) -> tuple[int, str, dict[Path, int]]:
        """Its status, what it has said, and when the runs that are done were."""
        (folder / "held").touch()
        process = subprocess.Popen(
            [*COMMAND, str(folder / "matrix.yaml"), "--jobs", "1"],
            cwd=ROOT,
            env=os.environ | {"HELD": str(folder / "held")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            wait_until((folder / "reached").exists, process)
            process.send_signal(how)
            _, said = process.communicate(timeout=300)
        (folder / "held").unlink()
        (folder / "reached").unlink()
        summaries = (folder / "results" / "runs").glob("*/*/summary.json")
        done = [path for path in summaries if '"finished"' in path.read_text()]
        assert 0 < len(done) < 8
        return process.returncode, said, {path: path.stat().st_mtime_ns for path in done}

    _, _, of_the_killed = ended(signal.SIGKILL)
    status, said, of_the_interrupted = ended(signal.SIGINT)
    assert status == 130
    assert f"{len(of_the_interrupted)} of 8 runs are done; the same command goes on" in said
    ran = experiment(folder / "matrix.yaml")
    assert ran.returncode == 0, ran.stderr
    for path, time_ns in (of_the_killed | of_the_interrupted).items():
        assert path.stat().st_mtime_ns == time_ns, "it was done again"
    assert written(folder / "results") == written(finished / "results")


def test_a_run_that_fails_stops_no_other(folder: Path) -> None:
    """Nor does one whose clients can't be computed at once."""
    (folder / "faults.yaml").write_text(
        "project: project\ndata: data\nseeds: [3]\nmetrics: {accuracy: max}\nout: faults\nbackend: vectorized\n"
        "cases:\n  good: {}\n  disliked: {training.momentum: 0.125}\n"
        "  crashing: {training.momentum: 0.25}\n  better: {training.steps: 5}\n"
    )
    ran = experiment(folder / "faults.yaml", "--json", "--jobs", "1")
    assert ran.returncode == 1
    envelope = json.loads(ran.stdout)
    assert envelope["error"]["code"] == "runs_failed"
    assert "2 of 4 runs failed" in envelope["error"]["message"]
    found = {one["name"]: one["runs"][0] for one in envelope["result"]["combinations"]}
    assert {name: run["status"] for name, run in found.items()} == {
        "good": "done",
        "disliked": "failed",
        "crashing": "failed",
        "better": "done",
    }
    assert "momentum that it does not like" in found["disliked"]["reason"]
    assert found["crashing"]["reason"] == "training process ended with status 7; output.log says why"
    table = (folder / "faults" / "table.md").read_text()
    assert "| disliked | - | 1 of 1 |" in table
    assert "- disliked, seed 3: no round made a model" in table
    (plot,) = (folder / "faults").glob("*.svg")
    assert "line disliked" not in plot.read_text()
    printed = (folder / "faults" / "output.log").read_text()
    assert "trained" in printed
    assert ran.stderr.count("good, seed 3: clients are computed one after the other: task.py has train()") == 1
    assert ran.stderr.count("one after the other") == 1


CHANGES = {
    "federation.yaml": ("steps: 3", "steps: 4", "training.steps is 4"),
    "task.py": ("CALLS = 0", "CALLS = 0  # another", "the task's code is"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_runs_of_other_settings_or_code_are_refused_and_stay(finished: Path, name: str) -> None:
    path = finished / "project" / name
    before, after, said = CHANGES[name]
    text = path.read_text()
    path.write_text(text.replace(before, after))
    try:
        ran = experiment(finished / "matrix.yaml", "--json")
    finally:
        path.write_text(text)
    envelope = json.loads(ran.stdout)
    assert (ran.returncode, envelope["error"]["code"]) == (2, "other_runs")
    assert f"{said}" in envelope["error"]["message"]
    assert "and 3 more" in envelope["error"]["message"]
    again = experiment(finished / "matrix.yaml", "--dry-run", "--json")
    assert json.loads(again.stdout)["result"]["to_do"] == 0


def test_a_folder_is_one_experiment_s_at_a_time(finished: Path) -> None:
    descriptor = os.open(finished / "results", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        ran = experiment(finished / "matrix.yaml", "--json")
    finally:
        os.close(descriptor)
    assert json.loads(ran.stdout)["error"]["code"] == "run_folder_in_use"


def test_data_is_split_anew_for_each_seed_and_inputs_may_be_compared_too(folder: Path) -> None:
    """The digits that fedgrass carries: another split and another number of clients are combinations as others are."""
    (folder / "splits.yaml").write_text(
        f"project: {ROOT / 'components' / 'tasks' / 'mnist'}\nclients: 5\nrounds: 1\nseeds: [0, 7]\nout: splits\n"
        "matrix: {split: [iid, 'labels:2']}\nmetrics: {accuracy: max}\n"
        "cases: {few: {clients: 2, split: iid, training.steps: 2, training.epochs: null}}\n"
    )
    ran = experiment(folder / "splits.yaml")
    assert ran.returncode == 0, ran.stderr
    runs = folder / "splits" / "runs"
    assert {path.name for path in runs.iterdir()} == {"split=iid", "split=labels-2", "few"}
    found = {path.parent.name: RunFolder(path) for path in runs.glob("*/seed-7")}
    assert {name: len({row.client for row in run.clients()}) for name, run in found.items()} == {
        "split=iid": 5,
        "split=labels-2": 5,
        "few": 2,
    }
    assert {run.settings().training.seed for run in found.values()} == {7}
    models = {path.read_bytes() for path in runs.glob("*/*/model.safetensors")}
    assert len(models) == 6


def test_clients_are_computed_at_once_where_the_file_says_so(folder: Path) -> None:
    """They come to the same but for rounding, and what one backend has begun is not gone on with by another."""
    text = (
        f"project: {ROOT / 'components' / 'tasks' / 'mnist'}\nclients: 3\nrounds: 2\nseeds: 1\n"
        "cases: {plain: {}}\nmetrics: {loss: min, clients.loss_after: min}\n"
    )
    losses = []
    for backend in ("loop", "vectorized"):
        (folder / "file.yaml").write_text(f"{text}out: {backend}\nbackend: {backend}\n")
        ran = experiment(folder / "file.yaml", "--json")
        assert ran.returncode == 0, ran.stderr
        assert "one after the other" not in ran.stderr
        (only,) = json.loads(ran.stdout)["result"]["combinations"]
        losses.append([metric["mean"] for metric in only["metrics"].values()])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    (folder / "file.yaml").write_text(f"{text}out: vectorized\n")
    assert "backend is loop, and" in experiment(folder / "file.yaml").stderr


def test_the_example_of_the_document_runs_with_fewer_rounds_and_seeds(tmp_path: Path) -> None:
    (text,) = (block.text for block in blocks("yaml") if block.document == "experiments.md")
    for before, after in {"rounds: 30": "rounds: 2", "seeds: [0, 1, 2]": "seeds: [0]"}.items():
        assert before in text
        text = text.replace(before, after)
    write_project(tmp_path)
    (tmp_path / "project").rename(tmp_path / "my-federation")
    (tmp_path / "devices.jsonl").write_text('{"client": "*", "examples_per_s": 100}')
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").mkdir()
    generator = np.random.default_rng(0)
    np.save(tmp_path / "data" / "inputs.npy", generator.normal(size=(2000, 6)).astype(np.float32))
    np.save(tmp_path / "data" / "labels.npy", generator.integers(0, 3, 2000))
    (tmp_path / "rates.yaml").write_text(text)
    ran = experiment(tmp_path / "rates.yaml", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)["result"]
    assert [one["name"] for one in found["combinations"]] == [
        *(f"learning_rate={rate},rule={rule}" for rate in (0.05, 0.1) for rule in ("weighted", "median")),
        "as_it_is",
        "fewer",
    ]
    results = tmp_path / "results" / "rates"
    listed = table("docs/experiments.md", "in the output folder", "what it is").rows
    for name in (span for what, _ in listed for span in spans(what)):
        assert (results / name.replace("COMBINATION", "as_it_is")).exists(), name


def test_a_rehearsal_lists_the_runs_and_runs_none(folder: Path) -> None:
    ran = experiment(folder / "matrix.yaml", "--dry-run", "--json", "--jobs", "3")
    result = json.loads(ran.stdout)["result"]
    assert [run["name"] for run in result["runs"]] == [
        f"{name}, seed {seed}" for seed in (0, 1) for name in COMBINATIONS
    ]
    assert (result["to_do"], result["jobs"]) == (8, 3)
    assert 0 < result["guess_s"] < 3600
    (folder / "matrix.yaml").write_text(MATRIX.replace("  best accuracy: max", "  best acuracy: max"))
    assert "matrix.yaml:11: metrics.best acuracy: the task" in experiment(folder / "matrix.yaml", "--dry-run").stderr
    assert not (folder / "results").exists()


def test_a_metric_that_no_round_has_is_told_with_the_first_round(folder: Path) -> None:
    metric = "clients.acuracy_after"
    (folder / "matrix.yaml").write_text(MATRIX.replace("  best accuracy: max", f"  {metric}: max"))
    ran = experiment(folder / "matrix.yaml")
    assert ran.returncode == 2
    assert f"matrix.yaml:11: metrics.{metric}: the task gives no metric {metric}: there are accuracy" in ran.stderr
    assert len(list((folder / "results" / "runs").glob("*/*"))) <= 2


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
def test_a_wrong_line_of_the_task_is_told_before_any_run(folder: Path, mode: tuple[str, ...]) -> None:
    task = folder / "project" / "task.py"
    task.write_text(task.read_text().replace("nn.Linear(6, 3)", "nn.Linear(5, 3)"))
    ran = experiment(folder / "matrix.yaml", *mode)
    assert ran.returncode == 2
    assert f"{task}:" in ran.stderr
    assert not (folder / "results" / "runs").exists()
