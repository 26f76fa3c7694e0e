"""Reads a recipe's YAML: the part of YAML that recipes are written in. All else is refused, and so is a key that is
there twice, of which YAML readers keep the last.

As components/build.py, this runs with any Python from 3.9 on, and the standard library alone. All scalars are texts, as
nucleus lite reads them.
"""

from __future__ import annotations

import json
import re
from typing import Dict, List, NoReturn, Union  # noqa: UP035 - see Tree

Tree = Union[str, List["Tree"], Dict[str, "Tree"]]  # noqa: UP006, UP007 - this is evaluated, by Python 3.9 too

_QUOTED = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^']|'')*'"
_KEY = re.compile(rf"({_QUOTED}|[^\s\"'\[\]{{}}&*!|>%@`#,?.-](?:[^:#]|:(?=\S)|(?<=\S)#)*?)\s*:(?:\s+|$)")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_REST = re.compile(r"\s*(?:\s#.*)?")
_FLOW_PLAIN = re.compile(r"(?:[^\s,\[\]{}:#]|:(?=[^\s,\[\]{}])|(?<=\S)[ #](?=[^\s,\[\]{}#]))+")
_START = re.compile(r"--- *(?: #.*)?")
_STRANGE = re.compile("[^\\S\t ]|[^\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_RESERVED = "&*!%@`?>,]}"


class RecipeTextError(ValueError):
    """The text is not YAML, or more of YAML than recipes need; it names the line."""


class _Line:
    def __init__(self, number: int, text: str) -> None:
        self.number = number
        self.indent = len(text) - len(text.lstrip(" "))
        self.text = text[self.indent :]


def read(text: str) -> Tree:
    """What a recipe says, with its maps as dictionaries and its lists as lists.

    Raises:
        RecipeTextError: see there.
    """
    return _Reader(text).document()


class _Reader:
    """Reads one document from its first line to its last; `_at` is the next line."""

    def __init__(self, text: str) -> None:
        self._all = text.replace("\r\n", "\n").split("\n")
        self._lines = [_Line(number, line) for number, line in enumerate(self._all, 1)]
        self._at = 0

    def document(self) -> Tree:
        for each in self._lines:
            strange = _STRANGE.search(each.text)
            if strange is not None:
                _refuse(each, f"the character {strange[0]!r} is not for recipes")
        self._skip()
        if self._at < len(self._lines) and _START.fullmatch(self._all[self._at]):
            self._at += 1
        line = self._next()
        tree: Tree = "" if line is None else self._block(line.indent)
        rest = self._next()
        if rest is not None:
            _refuse(rest, "its indentation fits nothing above")
        return tree

    def _skip(self) -> None:
        while self._at < len(self._lines) and (
            not self._lines[self._at].text or self._lines[self._at].text.startswith("#")
        ):
            self._at += 1

    def _next(self) -> _Line | None:
        self._skip()
        if self._at == len(self._lines):
            return None
        line = self._lines[self._at]
        if "\t" in line.text:
            _refuse(line, "it has a tab: use spaces")
        return line

    def _block(self, indent: int) -> Tree:
        """The map or list whose entries are indented by so much."""
        return self._list(indent) if _is_item(self._lines[self._at]) else self._map(indent)

    def _map(self, indent: int) -> Tree:
        found: dict[str, Tree] = {}
        while True:
            line = self._next()
            if line is None or line.indent != indent or _is_item(line):
                return found
            match = _KEY.match(line.text)
            if match is None:
                _refuse(line, "it is no 'key: value'")
            key = _scalar(line, match[1])
            if key in found:
                _refuse(line, f"the key {key!r} is there already")
            self._at += 1
            found[key] = self._value(line, line.text[match.end() :], indent)

    def _list(self, indent: int) -> Tree:
        found: list[Tree] = []
        while True:
            line = self._next()
            if line is None or line.indent != indent or not _is_item(line):
                return found
            inner = line.text[1:].lstrip(" ")
            if _KEY.match(inner) or _is_item(_Line(0, inner)):
                line.indent += len(line.text) - len(inner)  # the entry's own lines are indented as its first
                line.text = inner
                found.append(self._block(line.indent))
            else:
                self._at += 1
                found.append(self._value(line, inner, indent))

    def _value(self, line: _Line, text: str, indent: int) -> Tree:
        """What stands behind a key or a dash, or below it."""
        text = text.strip()
        if not text or text.startswith("#"):
            below = self._next()
            if below is not None and (below.indent > indent or (below.indent == indent and _is_item(below))):
                is_list_of_a_list = _is_item(line) and below.indent == indent
                return "" if is_list_of_a_list else self._block(below.indent)
            return ""
        if text.startswith("|"):
            return self._literal(line, text, indent)
        if text[0] in "[{":
            tree, end = _flow(line, text, 0)
            if not _REST.fullmatch(text, end):
                _refuse(line, f"there is more behind {text[:end]!r}")
        else:
            tree = _scalar(line, text)
        following = self._next()
        if following is not None and following.indent > indent:
            _refuse(following, "a value of more than one line is written below a |")
        return tree

    def _literal(self, line: _Line, header: str, indent: int) -> str:
        style = _COMMENT.sub("", header).strip()
        if style not in ("|", "|-"):
            _refuse(line, f"{style!r} is no way to write a text here: use | or |-")
        taken: list[str] = []
        width = None
        while self._at < len(self._lines):
            raw = self._all[self._at]
            if raw.strip(" "):
                own = len(raw) - len(raw.lstrip(" "))
                if width is None and own > indent:
                    width = own
                if width is None or own < width:
                    break
            taken.append(raw)
            self._at += 1
        if width is None:
            return ""
        if len(taken[0]) > width and not taken[0].strip(" "):
            _refuse(line, "the empty line below it is indented by more than the text")
        text = "\n".join(raw[width:] for raw in taken).rstrip("\n")
        return text + "\n" if style == "|" and text else text


def _is_item(line: _Line) -> bool:
    return line.text == "-" or line.text.startswith("- ")


def _scalar(line: _Line, text: str) -> str:
    """A text on one line, quoted or plain."""
    if text[0] in "\"'":
        match = re.match(_QUOTED, text)
        if match is None or not _REST.fullmatch(text, match.end()):
            _refuse(line, f"the quotes of {text!r} don't fit")
        return _unquoted(line, match[0])
    plain = _COMMENT.sub("", text).strip()
    if plain[0] in _RESERVED or plain == "-" or plain.startswith(("- ", "---", "...")) or re.search(r":(\s|$)", plain):
        _refuse(line, f"{plain!r} needs quotes")
    return plain


def _unquoted(line: _Line, quoted: str) -> str:
    if quoted[0] == "'":
        return quoted[1:-1].replace("''", "'")
    try:
        text: str = json.loads(quoted, strict=False)
    except json.JSONDecodeError as error:
        _refuse(line, f"{quoted} has an escape that JSON has not: {error.msg}")
    return text


def _flow(line: _Line, text: str, at: int) -> tuple[Tree, int]:
    """A map or list in brackets, on one line, or a scalar in one; and where it ends."""
    at = _after_spaces(text, at)
    opening = text[at : at + 1]
    if opening not in ("[", "{"):
        match = re.compile(_QUOTED).match(text, at) or _FLOW_PLAIN.match(text, at)
        if match is None or match[0][0] in _RESERVED:
            _refuse(line, f"{text!r} is not closed on this line, or misses quotes")
        return (_unquoted(line, match[0]) if match[0][0] in "\"'" else match[0]), match.end()
    closing = "]" if opening == "[" else "}"
    items: list[Tree] = []
    pairs: dict[str, Tree] = {}
    at = _after_spaces(text, at + 1)
    while text[at : at + 1] != closing:
        item, at = _flow(line, text, at)
        at = _after_spaces(text, at)
        if opening == "{":
            if not isinstance(item, str) or text[at : at + 1] != ":" or item in pairs:
                _refuse(line, f"{text!r} has no 'key: value' there, or the key twice")
            pairs[item], at = _flow(line, text, at + 1)
            at = _after_spaces(text, at)
        else:
            items.append(item)
        if text[at : at + 1] == ",":
            at = _after_spaces(text, at + 1)
        elif text[at : at + 1] != closing:
            _refuse(line, f"{text!r} is not closed on this line")
    return (items if opening == "[" else pairs), at + 1


def _after_spaces(text: str, at: int) -> int:
    while text[at : at + 1] == " ":
        at += 1
    return at


def _refuse(line: _Line, reason: str) -> NoReturn:
    raise RecipeTextError(f"line {line.number}: {reason}")
