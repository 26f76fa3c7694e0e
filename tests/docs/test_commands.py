"""Every command that the documents name can be given as it stands there."""

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import typer

from cli.listing import Listing, app
from tests.docs.markdown import DOCUMENTS, blocks, prose, spans
from tests.paths import ROOT

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
MAKEFILE = (ROOT / "Makefile").read_text()


def given() -> Iterator[str]:
    """The lines to type, and the commands in comments behind them."""
    for block in blocks(""):
        for line in block.text.replace("\\\n", " ").splitlines():
            command, _, comment = line.partition(" #")
            yield command.strip()
            yield comment.strip().rpartition(": ")[2]


def mentioned() -> Iterator[str]:
    for document in DOCUMENTS:
        yield from spans(prose(document))


def arguments_of(commands: Iterator[str]) -> list[list[str]]:
    """What is given to fedgrass."""
    found = {command for command in commands if re.match(r"(\.venv/bin/)?fedgrass [a-z]", command)}
    return [shlex.split(command)[1:] for command in sorted(found)]


def meant(arguments: list[str]) -> tuple[Any, list[str]]:
    """The command, of a group or not, and what it is given."""
    command, rest = COMMANDS[arguments[0]], arguments[1:]
    while isinstance(command, Listing):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize("arguments", arguments_of(given()), ids=" ".join)
def test_a_command_that_is_to_be_typed_is_understood(arguments: list[str]) -> None:
    command, rest = meant(arguments)
    command.make_context(command.name, rest)


@pytest.mark.parametrize("arguments", arguments_of(mentioned()), ids=" ".join)
def test_a_command_that_is_mentioned_has_what_is_said_of_it(arguments: list[str]) -> None:
    command, rest = meant(arguments)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {option.partition("=")[0] for option in rest if option.startswith("--")} <= known


def test_every_command_is_mentioned() -> None:
    told = " ".join(document.read_text() for document in DOCUMENTS)
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", told)] == []


def test_the_targets_of_make_exist() -> None:
    named = {name for command in (*given(), *mentioned()) for name in re.findall(r"^make ([a-z0-9-]+)", command)}
    assert "demo" in named
    assert named <= set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))


def modules() -> list[list[str]]:
    """What is given to `python -m`."""
    found = (re.search(r"python3? -m ([a-z_.]+.*)", command) for command in (*given(), *mentioned()))
    return [list(words) for words in sorted({tuple(shlex.split(match[1])) for match in found if match})]


@pytest.mark.parametrize("arguments", modules(), ids=" ".join)
def test_a_module_that_is_to_be_run_exists_and_has_its_options(arguments: list[str]) -> None:
    name, *rest = arguments
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    source = (ROOT / spec.origin).read_text()
    for option in (word for word in rest if word.startswith("--")):
        assert option in source or option.removeprefix("--").replace("-", "_") in source


def test_make_trials_and_make_bench_print_all_figures() -> None:
    figures = {name for name, *_ in modules() if name.split(".")[0] in ("benchmarks", "trials")}
    assert all(f"-m {name}" in MAKEFILE for name in figures)
