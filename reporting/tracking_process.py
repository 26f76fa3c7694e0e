"""The process that tells an experiment tracker of rounds: `python -m reporting.tracking_process`.

Its standard input is a `Begin`, and then the lines of rounds.jsonl, until it ends. What fails is told by its exit
status and on its output.
"""

import importlib
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from cloud.settings import Federation
from reporting.records import RoundLine, Summary

TrackerName = Literal["mlflow", "tensorboard", "wandb"]

_ODD = re.compile(r"[^\w -]")
"""What is in no name of a metric: MLflow takes little more, and clients name metrics as they like."""


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """What the rounds are of."""

    tracker: TrackerName
    folder: str
    summary: Summary
    settings: Federation


class Tracker(Protocol):
    """What the three have in common."""

    def add(self, line: RoundLine, values: Mapping[str, float]) -> None:
        """Tell of a round."""

    def end(self) -> None:
        """No more will come."""


def values_of(line: RoundLine) -> dict[str, float]:
    """The numbers of a round by the names that trackers have for them: all that are finite."""
    held_out = {f"held_out_{name}": value for name, value in line.held_out.items()}
    counts = ("accepted", "failed", "refused", "vanished", "bytes_down", "bytes_up", "round_s", "learning_rate")
    found = {**line.metrics, **held_out, **{name: getattr(line, name) for name in counts}}
    numbers = {_ODD.sub("_", name): value for name, value in found.items() if value is not None}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def _run_id(summary: Summary) -> str:
    """Tells this run from all others, for good."""
    return f"{summary.federation}-{round(summary.created_at * 1000):x}"


def _flat(settings: Federation) -> dict[str, Any]:
    """The settings by their names, such as training.batch_size."""

    def parts(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {name: value}
        return {path: one for key, inner in value.items() for path, one in parts(inner, f"{name}.{key}").items()}

    return {name.removeprefix("."): value for name, value in parts(msgspec.to_builtins(settings), "").items()}


class _MLflow:
    """A run of the experiment that has the federation's name, at MLFLOW_TRACKING_URI."""

    def __init__(self, folder: Path, summary: Summary, settings: Federation) -> None:
        self._mlflow = mlflow = importlib.import_module("mlflow")
        experiment = mlflow.set_experiment(summary.federation)
        run_id = _run_id(summary)
        found = mlflow.search_runs(
            [experiment.experiment_id], f"tags.`fedgrass.run` = '{run_id}'", max_results=1, output_format="list"
        )
        if found:
            mlflow.start_run(run_id=found[0].info.run_id)
            return
        mlflow.start_run(
            run_name=folder.resolve().name, tags={"fedgrass.run": run_id, "fedgrass.source": summary.source}
        )
        mlflow.log_params(_flat(settings))

    def add(self, line: RoundLine, values: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(values), step=line.round)

    def end(self) -> None:
        self._mlflow.end_run()


class _TensorBoard:
    """Event files in the folder `tensorboard` of the run folder."""

    def __init__(self, folder: Path) -> None:
        self._writer = importlib.import_module("tensorboard.summary").Writer(str(folder / "tensorboard"))

    def add(self, line: RoundLine, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, line.round, wall_time=line.ended_at)
        self._writer.flush()

    def end(self) -> None:
        self._writer.close()


class _Wandb:
    """A run of the project that has the federation's name; where to is wandb's own configuration."""

    def __init__(self, folder: Path, summary: Summary, settings: Federation) -> None:
        wandb = importlib.import_module("wandb")
        self._run = wandb.init(
            project=summary.federation,
            name=folder.resolve().name,
            id=_run_id(summary),
            resume="allow",
            dir=str(folder),
            config=_flat(settings),
        )

    def add(self, line: RoundLine, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=line.round)

    def end(self) -> None:
        self._run.finish()


_TRACKERS: dict[TrackerName, Callable[[Path, Summary, Federation], Tracker]] = {
    "mlflow": _MLflow,
    "tensorboard": lambda folder, _summary, _settings: _TensorBoard(folder),
    "wandb": _Wandb,
}


def main() -> None:
    """Tell the tracker of each round."""
    begin = msgspec.json.decode(sys.stdin.buffer.readline(), type=Begin)
    tracker = _TRACKERS[begin.tracker](Path(begin.folder), begin.summary, begin.settings)
    for text in sys.stdin.buffer:
        line = msgspec.json.decode(text, type=RoundLine)
        tracker.add(line, values_of(line))
    tracker.end()


if __name__ == "__main__":
    main()
