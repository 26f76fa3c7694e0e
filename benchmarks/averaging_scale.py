"""How time and memory of averaging grow with the number of clients: time should be linear, memory flat.

`python -m benchmarks.averaging_scale` averages 10, 100 and 1,000 updates, of the MLP and of ResNet-18. There are only a
few different files, each under many names (hard links), so that 1,000 updates of 46.8 MB fit a disk and the page cache;
each name is opened, checked and read like a file of its own.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from benchmarks.contenders import inputs
from benchmarks.contenders.process import started

COHORTS = (10, 100, 1000)
_DIFFERENT = 10
_MB = 1e6


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One cohort: seconds to average, and by how much memory grows at most in a new process."""

    architecture: str
    clients: int
    model_bytes: int
    seconds: float
    seconds_per_client: float
    peak_mb: float


def measure(architecture: str, repetitions: int, directory: Path) -> Iterator[Row]:
    """The rows of one architecture, with files in an empty directory."""
    updates, model = directory / "updates", directory / "model"
    updates.mkdir()
    with started("ours", architecture) as contender:
        contender.ask("prepare", clients=_DIFFERENT, directory=str(updates))
    paths = inputs.update_paths(updates, COHORTS[-1])
    for number, path in enumerate(paths[_DIFFERENT:]):
        os.link(paths[number % _DIFFERENT], path)
    os.sync()
    for clients in COHORTS:
        with started("ours", architecture) as contender:
            answers = []
            for _ in range(1 + repetitions):
                answers.append(contender.ask("average", clients=clients, directory=str(updates), model=str(model)))
                model.unlink()
        seconds = statistics.median(answer["seconds"] for answer in answers[1:])
        yield Row(
            architecture=architecture,
            clients=clients,
            model_bytes=inputs.model_bytes(architecture),
            seconds=seconds,
            seconds_per_client=seconds / clients,
            peak_mb=answers[0]["peak_bytes"] / _MB,
        )


def main(
    repetitions: Annotated[
        int, typer.Option(min=1, help="Times are medians of so many, after a first that warms up.")
    ] = 3,
) -> None:
    """Print the rows as JSON."""
    rows = []
    for architecture in inputs.ARCHITECTURES:
        with tempfile.TemporaryDirectory(prefix="fedgrass-averaging-") as directory:
            for row in measure(architecture, repetitions, Path(directory)):
                sys.stderr.write(f"{row}\n")
                rows.append(row)
    sys.stdout.write(msgspec.json.encode({"rows": rows}).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
