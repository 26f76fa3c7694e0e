"""What several commands are told."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from reporting.tracking_process import TrackerName


def _stack_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{0,127}", name):
        raise typer.BadParameter(f"{name!r} is no stack's name: use a-z, A-Z, 0-9 and '-', and begin with a letter")
    return name


ProjectPath = Annotated[Path, typer.Argument(help="A federation.yaml, or the folder it lies in.")]
FederationName = Annotated[str, typer.Argument(help="Name of the federation.")]
Stack = Annotated[str, typer.Option(help="Name of the CloudFormation stack.", callback=_stack_name)]
StackIfGiven = Annotated[
    str | None,
    typer.Option(
        "--stack",
        help="Name of the CloudFormation stack.",
        show_default="fedgrass",
        callback=lambda name: name and _stack_name(name),
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON on standard output, also of an error.")]
DataDirectory = Annotated[
    Path | None,
    typer.Option(
        "--data", help="A folder with one folder a client, or data to split: docs/data.md. Default: 5,000 MNIST digits."
    ),
]
Splitting = Annotated[
    str | None,
    typer.Option(
        "--split", help="How to split: iid (the default), labels:K (K labels a client), dirichlet:ALPHA, by:COLUMN."
    ),
]
Track = Annotated[
    TrackerName | None, typer.Option("--track", help="Tell an experiment tracker of each round; you install it.")
]
Rounds = Annotated[int | None, typer.Option(min=1, help="How many rounds; default: federation.yaml's.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port of the embedded AWS; 0: a free one.")]
Nucleus = Annotated[
    Literal["classic", "lite", "mixed"],
    typer.Option(help="Which Greengrass nucleus the devices run; mixed: in turn."),
]
Keep = Annotated[
    Path | None,
    typer.Option(help="An empty or new folder to keep logs, objects, records and devices' directories in."),
]

Result = object
"""What a command returns: with --json it is printed, as an object with fields that are never taken away."""
