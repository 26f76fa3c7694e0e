"""How long a federated round takes outside local training, and what it costs in AWS calls.

`python -m benchmarks.round --devices 40 --rounds 5 --call-latency-ms 30` runs the demo's federation; a latency is added
to every AWS call of the functions, to stand for the distance to AWS.
"""

import functools
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.display import Display
from cli.project import load
from cli.project_data import EXAMPLE, DataOptions, data_of
from cli.project_run import run
from cli.run_options import RunOptions
from cli.screen import Screen


def main(
    devices: Annotated[int, typer.Option(min=1, help="How many devices.")] = 8,
    rounds: Annotated[int, typer.Option(min=2, help="How many rounds; medians are over the second and later.")] = 10,
    call_latency_ms: Annotated[float, typer.Option(min=0, help="Added to each AWS call of the functions.")] = 0.0,
    data: Annotated[Path | None, typer.Option(help="Folder with the four IDX files of MNIST.")] = None,
) -> None:
    """Print the figures of a round as JSON."""
    display = Display(Screen(stderr=True))
    with display:
        project = load(EXAMPLE, rounds=rounds)
        outcome = run(
            project,
            functools.partial(data_of, project, DataOptions(data=data, clients=devices, split="iid")),
            RunOptions(call_latency_s=call_latency_ms / 1000 if call_latency_ms else None),
            display=display,
        )
    figures = msgspec.to_builtins(outcome)
    del figures["history"]
    functions = figures.pop("functions")
    figures["call_latency_ms"] = call_latency_ms
    figures["aws_calls"] = {name: function["calls"] for name, function in functions.items()}
    figures |= {f"{name}_s": function["invocation_s"] for name, function in functions.items()}
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
