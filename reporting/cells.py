"""Texts of others where people read them: in tables that spreadsheets open, and on pages."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_MAX_TEXT = 1000
_MAX_NAME = 80
_MARKED = ("=", "+", "-", "@", "'")


def printable(text: str) -> str:
    """A text on one line, not too long; what can't be seen, or turns the direction of writing, is in it as escapes."""
    shown = text[:_MAX_TEXT]
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def short(name: str) -> str:
    """A name that a task has given something, where it stands among others: bounded, and to be seen if it is empty."""
    shown = printable(name) or "''"
    return shown if len(shown) <= _MAX_NAME else f"{shown[: _MAX_NAME - 3]}..."


def cell(text: str) -> str:
    """Such a text, and no formula: one that would be has an apostrophe before it, as spreadsheets have it."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_MARKED) else shown


def text_of(cell: str) -> str:
    """The text in such a cell."""
    return cell.removeprefix("'")


def csv_of(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV, a line each."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
