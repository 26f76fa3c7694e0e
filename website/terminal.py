"""A terminal that nobody looks at: what a program shows on it, as a picture."""

import os
import pty
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

_CONTROL = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")
_WIDTH = 110


class TerminalError(Exception):
    """A program that was to be shown has failed."""


def screen_of(
    command: Sequence[str], directory: Path, more: Mapping[str, str] = MappingProxyType({}), until: str | None = None
) -> list[str]:
    """The lines that a program leaves on a terminal, with their colors as it gave them. `more` is added to its
    environment. With `until`, a pattern, they are what it shows when that is in what it has said, and it is ended then.

    Raises:
        TerminalError: it ended with another status than 0, or before it had said that.
    """
    ours, its = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(_WIDTH), "LINES": "60"} | dict(more)
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, cwd=directory, env=environment) as process:
        os.close(its)
        told = _all(ours, until)
        if is_far_enough := until is not None and re.search(until, told) is not None:
            process.terminate()
    os.close(ours)
    if not is_far_enough and (process.returncode or until):
        raise TerminalError(f"{' '.join(command)} ended with {process.returncode}: {told[-2000:]}")
    return _left(told)


def _all(terminal: int, until: str | None) -> str:
    told = b""
    while until is None or not re.search(until, told.decode(errors="replace")):
        try:
            told += os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
    return told.decode(errors="replace")


def _left(told: str) -> list[str]:
    """What is left of it when lines were written over: as rich does it, a whole line at a time."""
    lines, row = [""], 0
    for found in re.finditer(rf"{_CONTROL.pattern}|[\r\n]|[^\r\n\x1b]+", told):
        part = found[0]
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif found[2] == "A":
            row = max(0, row - int(found[1] or 1))
        elif found[2] == "K":
            lines[row] = ""
        elif part != "\r" and found[2] in (None, "m"):
            lines[row] += part
    return lines[:row] + [line for line in lines[row : row + 1] if line]


def picture_of(lines: Sequence[str], title: str) -> str:
    """These lines as SVG, which loads nothing."""
    from io import StringIO

    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=_WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(Text.from_ansi(line))
    own_font = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title=title, code_format=own_font, unique_id="terminal")
