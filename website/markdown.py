"""Markdown, of texts that were written for other readers."""

import re
from collections.abc import Iterable, Sequence
from inspect import cleandoc

_MEANT_OTHERWISE = re.compile(r"([\\*_<>\[\]|])")


def prose(text: str) -> str:
    """A text as it stands there, but for what it has between backticks: that is code."""
    spoken, *rest = text.split("`")
    parts = [_MEANT_OTHERWISE.sub(r"\\\1", spoken)]
    for index, part in enumerate(rest):
        parts.append(code(part) if index % 2 == 0 else _MEANT_OTHERWISE.sub(r"\\\1", part))
    return "".join(parts)


def docstring(of: object) -> str:
    """What a class or a function says of itself, without the list of what it raises."""
    return prose(cleandoc(of.__doc__ or "").partition("\n\nRaises:")[0])


def code(text: str) -> str:
    """A text in code font."""
    return f"`{text}`" if text else ""


def block(lines: Iterable[str], language: str = "") -> str:
    """Lines as they are."""
    return "\n".join([f"```{language}", *lines, "```\n"])


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are Markdown, and a line each."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split())
