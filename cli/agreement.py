"""Asking whether to go on."""

import sys

import typer


def agrees(question: str, *, as_json: bool) -> bool:
    """Whether the one at the terminal says yes."""
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked: give --yes to change this, or --dry-run to look at it")
    return typer.confirm(question)
