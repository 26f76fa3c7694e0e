"""The project's documents, in the parts that can be held to the code: fenced blocks, tables, and text in code font."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.paths import ROOT

DOCUMENTS = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "AGENTS.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[[^\]]+\]\(([^)]+)\)")


class Block(msgspec.Struct, frozen=True):
    """A fenced block; `language` is "" for commands and pictures."""

    document: str
    language: str
    text: str


class Table(msgspec.Struct, frozen=True):
    """A table, cell by cell."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def blocks(language: str) -> list[Block]:
    """All fenced blocks of a language, in all documents."""
    return [
        Block(document.name, language, text)
        for document in DOCUMENTS
        for found, text in _FENCE.findall(document.read_text())
        if found == language
    ]


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return _FENCE.sub("", document.read_text())


def spans(text: str) -> list[str]:
    """What stands in code font."""
    return [" ".join(span.split()) for span in _SPAN.findall(text)]


def links(document: Path) -> list[str]:
    """Where a document's links lead."""
    return _LINK.findall(prose(document))


def anchors(document: Path) -> set[str]:
    """The names that links give to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(document: str, *columns: str) -> Table:
    """The one table of a document whose first columns have these titles."""
    (found,) = tables(document, *columns)
    return found


def tables(document: str, *columns: str) -> list[Table]:
    """The tables of a document whose first columns have these titles."""
    return [table for table in _tables(ROOT / document) if table.columns[: len(columns)] == columns]


def _tables(document: Path) -> Iterator[Table]:
    rows: list[tuple[str, ...]] = []
    for line in (*prose(document).splitlines(), ""):
        if line.startswith("|"):
            rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
        elif rows:
            yield Table(rows[0], tuple(rows[2:]))
            rows = []
