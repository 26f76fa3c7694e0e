"""Every command, with all that it can be told: from the parser that reads it."""

from collections.abc import Iterator
from typing import Any

import typer

from cli.listing import PROGRAM, app
from cli.registry import SECTIONS
from website.markdown import block, code, prose, table


def page() -> str:
    """The page."""
    parts = [
        "# Commands\n",
        "What each command is told. [Commands, for scripts](../commands.md) says how they end.\n",
    ]
    for section, commands in SECTIONS.items():
        parts.append(f"## {section}\n")
        for name in commands:
            parts += _command(name)
    return "\n".join(parts)


def command(name: str) -> Any:
    """The parser of a command."""
    found: Any = typer.main.get_command(app)
    for word in name.split(" "):
        found = found.commands[word]
    return found


def _command(name: str) -> Iterator[str]:
    parser = command(name)
    context = parser.make_context(f"{PROGRAM} {name}", ["--help"], resilient_parsing=True)
    yield f"### {PROGRAM} {name}\n"
    yield block([parser.get_usage(context).removeprefix("Usage: ")])
    yield prose(parser.help) + "\n"
    rows = [record for parameter in parser.params if (record := parameter.get_help_record(context)) is not None]
    yield table(("given", "meaning"), ((code(given), prose(meaning)) for given, meaning in rows))
    yield block(parser.epilog.splitlines())
