"""What the fedgrass command says, and how: everything that it prints goes through here.

What is printed is text, whoever wrote it: nothing in it is markup, and no character of it controls a terminal. Lines
are never wrapped or cut, sentences aside; a terminal does that with those that are too long for it.
"""

import contextlib
import csv
import json
import logging
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from cli.table import GAP, Table
from components.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_STANDARD_OUTPUT, _STANDARD_ERROR = 1, 2


class Screen:
    """Standard output, or standard error, for people to read."""

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=stderr, quiet=quiet, markup=False, highlight=False, emoji=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)

    @property
    def is_terminal(self) -> bool:
        """Whether something that moves can be shown."""
        return self._console.is_terminal

    @property
    def columns(self) -> int:
        """How wide the terminal is."""
        return self._console.width

    def can_show(self, text: str) -> bool:
        """Whether its encoding has all characters of a text."""
        try:
            text.encode(self._console.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def line(self, text: str, style: str = "") -> None:
        """One line."""
        self._print(_text(text, style))

    def sentence(self, text: str) -> None:
        """One line, which a terminal that is too narrow shows on some, cut between words."""
        shown = printable(text)
        if self._console.file.isatty():
            for line in textwrap.wrap(shown, self._console.width, subsequent_indent="    ", break_on_hyphens=False):
                self._print(_text(line))
        else:
            self.line(shown)

    def lines(self, text: str) -> None:
        """A text of more than one line."""
        for line in text.splitlines():
            self.line(line)

    def error(self, text: str) -> None:
        """What went wrong; its further lines are set in, so that none of them can be taken for another message."""
        from rich.text import Text

        first, *others = text.strip().split("\n")
        self._print(Text.assemble(("error: ", "bold red"), printable(first)))
        for line in others:
            self.line(f"  {line}")

    def table(self, table: Table) -> None:
        """A table under its title."""
        if table.title:
            self.line(table.title, "bold")
        for line in _clean(table).lines(self._console.width if self._console.file.isatty() else None):
            self._print(_text(line))

    def heat_map(self, table: Table, shades: Sequence[Sequence[float]]) -> None:
        """A table whose cells are shaded on a terminal: the nearer to 1 their shade is, the brighter. There is a row of
        shades, from 0 to 1, for each row."""
        from rich.text import Text

        heading, *rows = _clean(table).padded()
        lines = [Text(GAP.join(heading).rstrip())]
        for cells, row in zip(rows, shades, strict=True):
            styles = (f"{'black' if shade > 0.5 else 'white'} on {_green(shade)}" if shade else "" for shade in row)
            parts = zip_longest(cells, styles, fillvalue="")
            lines.append(Text(GAP).join(Text(cell, style) for cell, style in parts))
        if self.is_terminal and max(line.cell_len for line in lines) <= self._console.width:
            for line in lines:
                self._print(line)
        else:
            self.table(table)

    def start_moving(self) -> None:
        """Have `picture` shown below all lines, until `stop_moving`."""
        self._live.start()

    def stop_moving(self) -> None:
        """Take the picture away."""
        self._live.stop()

    def picture(self, *parts: "str | RenderableType") -> None:
        """What is to be seen below all lines for now: texts, and what rich draws."""
        from rich.console import Group

        self._live.update(Group(*(_text(part) if isinstance(part, str) else part for part in parts)))

    def leave(self, *parts: "RenderableType") -> None:
        """What rich draws, to stay where it is."""
        for part in parts:
            self._console.print(part)

    def _print(self, text: "Text") -> None:
        with _writing():
            self._console.print(text, soft_wrap=True)


def _text(text: str, style: str = "") -> "Text":
    from rich.text import Text

    return Text(printable(text), style)


def _clean(table: Table) -> Table:
    return Table(
        columns=tuple(map(printable, table.columns)),
        rows=[tuple(map(printable, row)) for row in table.rows],
        texts=frozenset(map(printable, table.texts)),
    )


def _green(shade: float) -> str:
    return f"rgb({round(20 + 60 * shade)},{round(50 + 170 * shade)},{round(30 + 60 * shade)})"


class LogFormatter(logging.Formatter):
    """Warnings for the screen: the same holds for them."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """A line, and those of a trace below it."""
        return "\n  ".join(map(printable, super().format(record).split("\n")))


class _ForPrograms:
    """Standard output, as lines of JSON are written to it."""

    def __init__(self) -> None:
        self._apart: TextIO | None = None

    @property
    def stream(self) -> TextIO:
        return self._apart or sys.stdout

    def set_apart(self) -> None:
        if self._apart is None and _descriptor_of(sys.stdout) == _STANDARD_OUTPUT:
            sys.stdout.flush()
            self._apart = open(os.dup(_STANDARD_OUTPUT), "w", buffering=1, encoding="ascii", closefd=False)  # noqa: SIM115
            os.dup2(_STANDARD_ERROR, _STANDARD_OUTPUT)


_for_programs = _ForPrograms()


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except OSError:  # it is in memory
        return None


def set_json_apart() -> None:
    """From now on nothing comes to standard output but JSON: whatever else is written there, by a task or by a process
    that it starts, goes to standard error."""
    _for_programs.set_apart()


def write_json(value: Any) -> None:
    """One line of JSON on standard output: what is no plain character is escaped, and what is no number is null."""
    with _writing():
        _for_programs.stream.write(json.dumps(_plain(msgspec.to_builtins(value))) + "\n")


def write_csv(rows: Iterable[Sequence[Any]]) -> None:
    """A table on standard output, for programs: texts in it have been made cells (`reporting.cells`)."""
    with _writing():
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)


def flush() -> None:
    """Have all that was printed written."""
    with _writing():
        _for_programs.stream.flush()


def write_nothing_more() -> None:
    """What was printed and not written is for nobody: Python would try once more to write it, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _for_programs.stream.fileno())


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Name what can't be written: the operating system says only why."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"what is printed can't be written: {error.strerror}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
