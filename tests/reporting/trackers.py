"""Trackers to be told of rounds. Each is a module of the tracker's name that writes down how it is called, in the forms
that the packages themselves have: mlflow 3.17, tensorboard 2.21, wandb 0.31."""

import json
from pathlib import Path
from typing import Any

RECORDING = """
import json, os

def note(*call):
    with open(os.environ["CALLS"], "a") as file:
        file.write(json.dumps(call) + "\\n")
"""

MLFLOW = """
class Named:
    experiment_id = "7"
    class info: run_id = "r1"
started = []
def set_experiment(name): note("experiment", name); return Named
def search_runs(experiments, text, max_results, output_format):
    note("search", experiments, text)
    return [Named] if os.path.exists("known") else []
def start_run(**given): open("known", "w"); note("start", given)
def log_params(given): note("params", given)
def log_metrics(values, step): note("metrics", values, step)
def end_run(): note("end")
"""

WANDB = """
class Run:
    def log(self, values, step): note("metrics", values, step)
    def finish(self): note("end")
def init(**given): note("start", given); return Run()
"""

TENSORBOARD = """
class Writer:
    def __init__(self, path): note("start", path)
    def add_scalar(self, name, value, step, wall_time): note("metrics", {name: value}, step)
    def flush(self): pass
    def close(self): note("end")
"""


def installed(directory: Path, name: str, source: str) -> None:
    """Make a package of this name that can be imported from a directory."""
    module = "summary" if name == "tensorboard" else "__init__"
    (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / name / "__init__.py").touch()
    (directory / name / f"{module}.py").write_text(RECORDING + source)


def calls(directory: Path) -> list[list[Any]]:
    """What was noted, if CALLS names the file `calls` in this directory."""
    return [json.loads(line) for line in (directory / "calls").read_text().splitlines()]
