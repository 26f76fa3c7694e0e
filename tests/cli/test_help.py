"""What fedgrass says of itself: its lists, its help, its completions; and that it loads little for that."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.listing import Listing, app
from cli.registry import COMMANDS, SECTIONS
from tests.cli.running import fedgrass
from tests.paths import ROOT

HEAVY = {"torch", "torchvision", "boto3", "botocore", "numpy", "polars", "matplotlib", "rich", "yaml", "awscrt", "ssl"}

LOADED = f"""
import sys
from cli.main import main
try:
    main(sys.argv[1:])
finally:
    print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)
"""


def loaded(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Gives the command, which tells on standard error what of HEAVY it has loaded."""
    return subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


HELPS = [(), ("--help",), ("-h",), *((name, "--help") for name in COMMANDS)]

ONE_AFTER_THE_OTHER = f"""
import contextlib, io, json, sys
from cli.main import main
told, before = [], set()
for words in json.loads(sys.argv[1]):
    status = None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main(words)
        except SystemExit as ended:
            status = ended.code
    heavy = {HEAVY} & set(sys.modules)
    told.append((status, out.getvalue(), sorted(heavy - before)))
    before = heavy
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def helps() -> dict[tuple[str, ...], tuple[int, str, list[str]]]:
    """How each help ended, what it told, and what of HEAVY was loaded for it, one after the other in a process."""
    command = [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(HELPS)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return dict(zip(HELPS, json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_help_loads_nothing_that_is_heavy(
    helps: dict[tuple[str, ...], tuple[int, str, list[str]]], words: tuple[str, ...]
) -> None:
    status, out, loads = helps[words]
    assert status == 0
    assert "Usage: fedgrass" in out
    assert loads == []


def parsed(words: list[str]) -> Any:
    command: Any = typer.main.get_command(app)
    context = command.make_context("fedgrass", words)
    while isinstance(command, Listing):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return context


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_a_command_are_understood_by_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    _, _, examples = fedgrass(*command.split(), "-h").out.partition("\nExamples:\n")
    lines = examples.splitlines()
    assert len(lines) >= 2
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "fedgrass"
        assert parsed(words).command_path == f"fedgrass {command}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_json_and_help(command: str) -> None:
    told = fedgrass(*command.split(), "--help")
    assert told.status == 0
    assert "  --json " in told.out
    assert "  -h, --help " in told.out
    assert fedgrass(*command.split(), "-h") == told


def test_commands_are_listed_by_what_they_are_for_and_then_how_they_end() -> None:
    told = fedgrass()
    assert told.status == 0
    assert fedgrass("--help") == told
    lines = told.out.splitlines()
    places = [lines.index(f"{heading}:") for heading in SECTIONS]
    assert places == sorted(places)
    for heading, commands in SECTIONS.items():
        below = lines[lines.index(f"{heading}:") + 1 :][: len(commands)]
        first_words = list(dict.fromkeys(name.partition(" ")[0] for name in commands))
        assert [line.split()[0] for line in below[: len(first_words)]] == first_words
    assert "  130  interrupted by Ctrl-C, SIGTERM or SIGHUP" in lines


def test_a_command_of_two_words_is_listed_under_the_first() -> None:
    modules = {f"round {name}": "cli.commands.rounds" for name in ("pause", "resume")}
    group = Listing(sections={"Some": modules, "Others": {"plan": "cli.commands.plan"}}, name="fedgrass")
    assert list(group.commands) == ["round", "plan"]
    assert list(group.commands["round"].commands) == ["pause", "resume"]
    context = group.make_context("fedgrass", ["round", "pause", "digits"], obj=None)
    rounds = group.commands["round"].make_context("round", context.args, parent=context)
    assert "Let no further round open" in rounds.get_help()
    assert group.commands["round"].commands["pause"].make_context("pause", ["digits"], parent=rounds).params == {
        "federation": "digits",
        "stack": "fedgrass",
        "as_json": False,
    }


def test_of_an_unknown_command_the_nearest_is_named() -> None:
    ran = fedgrass("plna", "--json")
    assert ran.status == 2
    assert "No such command 'plna'. Did you mean 'plan'?; see fedgrass --help" in ran.error
    assert (ran.envelope["command"], ran.envelope["error"]["code"]) == (None, "wrong_usage")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_script_and_what_it_asks_for(shell: str) -> None:
    script = loaded("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert f"_FEDGRASS_COMPLETE=complete_{shell}" in script.stdout
    asked = {
        "_FEDGRASS_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "fedgrass ro",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "fedgrass ro",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    answered = loaded(**asked)
    assert "rollback" in answered.stdout
    assert "status" not in answered.stdout
    assert answered.stderr.strip() in ("[]", "['rich']"), "typer draws descriptions for some shells"
