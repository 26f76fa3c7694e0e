"""The command that brings a federation's rounds onto this machine."""

import re
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import FederationName, Json, Result, Stack, Track
from cli.screen import Screen

EXAMPLES = (
    "fedgrass fetch meadow",
    "fedgrass fetch meadow runs/june --rounds 5-20",
    "fedgrass fetch meadow --track tensorboard",
)

_ROUNDS = re.compile(r"([1-9]\d*)?(-)?([1-9]\d*)?", re.ASCII)


def _range(text: str) -> tuple[int, int | None]:
    """The first round and the last one, None if that is open."""
    match = _ROUNDS.fullmatch(text)
    first, dash, last = match.groups() if match else (None, None, None)
    low = int(first or 1)
    high = int(last) if last else None if dash else low
    if not (first or last) or (high is not None and high < low):
        raise typer.BadParameter(f"{text!r} are no rounds: write 5-10, 5-, -10 or 7; the first round is 1")
    return low, high


def fetch(
    federation: FederationName,
    directory: Annotated[
        Path | None, typer.Argument(help="The run folder, made if it is not there; default: runs/NAME.")
    ] = None,
    rounds: Annotated[
        str, typer.Option(metavar="FIRST-LAST", help="Which rounds: 5-10, 5-, -10 or 7.", show_default="all")
    ] = "1-",
    track: Track = None,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Write a federation's rounds and model into a run folder.

    Given again, it adds the rounds that have ended since, and the newest model. What can't be read is named and left
    out.
    """
    first, last = _range(rounds)
    from cli.fetching import RUNS
    from cli.fetching import fetch as fetch_rounds

    path = directory or RUNS / federation
    fetched = fetch_rounds(federation, path, stack, Screen(stderr=as_json), first=first, last=last, track=track)
    return {"path": str(path), "new": fetched.new, "problems": fetched.problems, "summary": fetched.summary}
