"""What several commands are told."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from reporting.tracking_process import TrackerName


def _stack_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{0,127}", name):
        raise typer.BadParameter(
            f"{name!r} is no stack's name: use 1 to 128 of a-z, A-Z, 0-9 and '-', and begin with a letter"
        )
    return name


def _federation_name(name: str) -> str:
    from protocol.names import check_federation

    return check_federation(name)


def _group_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9:_-]{1,128}", name):
        raise typer.BadParameter(f"{name!r} is no thing group's name: use 1 to 128 of a-z, A-Z, 0-9, ':', '_' and '-'")
    return name


def if_given(check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    """Of what need not be given: an empty text is given, and is not nothing."""
    return lambda name: None if name is None else check(name)


ProjectPath = Annotated[Path, typer.Argument(help="A federation.yaml, or the folder it lies in.")]
FederationName = Annotated[str, typer.Argument(help="Name of the federation.", callback=_federation_name)]
Stack = Annotated[str, typer.Option(help="Name of the CloudFormation stack.", callback=_stack_name)]
StackIfGiven = Annotated[
    str | None,
    typer.Option(
        "--stack",
        help="Name of the CloudFormation stack.",
        show_default="fedgrass",
        callback=if_given(_stack_name),
    ),
]
FederationIfGiven = Annotated[
    str | None, typer.Argument(help="Name of a federation; default: all.", callback=if_given(_federation_name))
]
check_group_name = if_given(_group_name)
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
