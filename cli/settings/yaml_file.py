"""YAML as people write it, with the line of each field.

Numbers are those of YAML 1.2: `1e-3` is one, and `010` is ten. Dates and sexagesimal numbers (`1:30`) are texts.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from cli.settings import problems

_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_NOTHING = re.compile(r"[ \t]*[#\r\n\0]")
_HARD_SPACE = re.compile(r"^[ \t]*[\u00a0\u2007\u202f]", re.MULTILINE)
_NO_SPACE = re.compile(r"[ ]*\w+(?::|[ ]*=)[^\s/]")
_LONGEST_NUMBER = 100
_KEPT_TAGS = ("bool", "null", "merge")


def is_number(text: str) -> bool:
    """Whether a text would be a number, if it stood without quotes."""
    return _FLOAT.fullmatch(text) is not None


class InvalidYamlError(ValueError):
    """A file that is no YAML, or says something twice; on this line, if it concerns one."""

    def __init__(self, line: int | None, text: str) -> None:
        super().__init__(text)
        self.line = line


class _Resolver(yaml.resolver.BaseResolver):
    """Which kind of scalar an unquoted text is."""


for _first, _resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _resolvers:
        if _tag.rpartition(":")[2] in _KEPT_TAGS:
            _Resolver.add_implicit_resolver(_tag, _pattern, [_first])
_Resolver.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(rf"(?:{_INTEGER.pattern})\Z"), list("-+0123456789"))
_Resolver.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(rf"(?:{_FLOAT.pattern}|{_SPECIAL.pattern})\Z"),
    list("-+.0123456789"),
)


class _Loader(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer, _Resolver):
    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        _Resolver.__init__(self)

    def scan_to_next_token(self) -> None:
        """As YAML 1.2 has it, and PyYAML does not: a tab may separate what stands on one line; it never indents."""
        super().scan_to_next_token()
        while self.peek() == "\t" and not self._is_indentation():
            while self.peek() in " \t":
                self.forward()
            if not self.flow_level:
                self.allow_simple_key = False
            super().scan_to_next_token()

    def _is_indentation(self) -> bool:
        begins_line = not self.buffer[self.pointer - self.column : self.pointer].strip(" \t")
        return begins_line and not self.flow_level and _NOTHING.match(self.buffer, self.pointer) is None


class YamlText:
    """The `value` of YAML, of mappings, lists, texts, numbers, booleans and None.

    Raises:
        InvalidYamlError: it is no YAML, has more than one document, a key that is no text, or one that is there twice.
    """

    def __init__(self, content: bytes) -> None:
        self._made: dict[int, Any] = {}
        self._open: set[int] = set()
        self._found: dict[int, list[tuple[ScalarNode, Node]]] = {}
        text = _decoded(content)
        if (hard := _HARD_SPACE.search(text)) is not None:
            line = text.count("\n", 0, hard.end()) + 1
            raise InvalidYamlError(line, "it begins with a no-break space: type plain spaces in its place")
        try:
            self._root = _Loader(text).get_single_node()
            self.value: Any = None if self._root is None else self._value(self._root)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise InvalidYamlError(line, f"the character {chr(error.character)!a} can't be in YAML") from error
        except yaml.MarkedYAMLError as error:
            mark = _mark(error)
            if mark is not None and (above := _without_space(text, mark.line)) is not None:
                raise InvalidYamlError(above, _COLON) from error
            raise _error(mark, _explained(error)) from error
        except RecursionError:
            raise InvalidYamlError(None, "it is nested too deeply") from None

    def line_of(self, path: problems.Path) -> int | None:
        """The line of a field, or of the innermost field around it that the file has. What a list has goes by its
        number, from 0."""
        node, line = self._root, None
        for name in path:
            found = None
            if isinstance(node, SequenceNode) and name.isdigit() and int(name) < len(node.value):
                node = node.value[int(name)]
                line = node.start_mark.line + 1
                continue
            if isinstance(node, MappingNode):
                found = next(((k, v) for k, v in self._pairs(node) if k.value == name), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line

    def _value(self, node: Node) -> Any:
        if id(node) in self._open:
            raise _error(node.start_mark, "an alias (*) stands for what it is itself a part of")
        if id(node) not in self._made:
            self._open.add(id(node))
            self._made[id(node)] = self._construct(node)
            self._open.discard(id(node))
        return self._made[id(node)]

    def _construct(self, node: Node) -> Any:
        kind = node.tag.rpartition(":")[2]
        if isinstance(node, MappingNode) and kind == "map":
            return {key.value: self._value(value) for key, value in self._pairs(node)}
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self._value(item) for item in node.value]
        if not isinstance(node, ScalarNode):
            raise _error(node.start_mark, f"{node.tag} is no kind of value that settings have")
        if node.tag == _TEXT:
            return node.value
        if kind in ("int", "float") and len(node.value) > _LONGEST_NUMBER:
            raise _error(node.start_mark, f"{node.value[:_LONGEST_NUMBER]}... is too long for a number")
        if kind == "int" and _INTEGER.fullmatch(node.value):
            return int(node.value.replace("_", ""))
        if kind == "float" and is_number(node.value):
            return float(node.value.replace("_", ""))
        if kind == "float" and _SPECIAL.fullmatch(node.value):
            return float(node.value.replace(".", ""))
        if kind == "bool" and node.value.lower() in yaml.SafeLoader.bool_values:
            return yaml.SafeLoader.bool_values[node.value.lower()]
        if kind == "null":
            return None
        raise _error(node.start_mark, f"{node.tag} is no kind of value that settings have")

    def _pairs(self, node: MappingNode) -> list[tuple[ScalarNode, Node]]:
        if id(node) not in self._found:
            self._found[id(node)] = self._find_pairs(node)
        return self._found[id(node)]

    def _find_pairs(self, node: MappingNode) -> list[tuple[ScalarNode, Node]]:
        """Keys and values, those that `<<` merges in last, unless the mapping has them itself."""
        own: dict[str, tuple[ScalarNode, Node]] = {}
        merged: list[tuple[ScalarNode, Node]] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                sources = value.value if isinstance(value, SequenceNode) else [value]
                for source in sources:
                    if not isinstance(source, MappingNode) or source is node:
                        raise _error(key.start_mark, "<< needs the alias of a mapping")
                    merged += self._pairs(source)
                continue
            if not isinstance(key, ScalarNode) or key.tag != _TEXT:
                if isinstance(key, ScalarNode):
                    raise _error(key.start_mark, f"{key.value} is no name of a field: as a name it is '{key.value}'")
                raise _error(key.start_mark, "what stands before the colon is no name of a field")
            if key.value in own:
                first = own[key.value][0].start_mark.line + 1
                raise _error(key.start_mark, f"{key.value} is here twice, first on line {first}: keep one of them")
            own[key.value] = (key, value)
        for key, value in merged:
            own.setdefault(key.value, (key, value))
        return list(own.values())


class YamlFile(YamlText):
    """As `YamlText`, of a file.

    Raises:
        OSError: it can't be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.read_bytes())


def _decoded(content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidYamlError(line, "it is not in UTF-8: save it in this encoding") from error


_COLON = "a colon and a space stand between a field and its value, as in rounds: 3"
_TOLD = {
    "\\t": "a tab: YAML is indented by spaces",
    "could not find expected ':'": _COLON,
    "expected <block end>": "it is indented otherwise than the lines above: fields that belong together begin in the "
    "same column",
    "mapping values are not allowed here": "a field begins in the middle of something: indent the line as those above, "
    "and put a text that has a colon in it into quotes",
    "expected ',' or '}'": "a { is not closed by a }, or a comma is missing",
    "expected ',' or ']'": "a [ is not closed by a ], or a comma is missing",
    "found unexpected end of stream": "a quote is not closed",
    "that cannot start any token": "a text that begins with %, @ or ` needs quotes; a share is written 80%",
    "but found another document": "another document begins: a file holds one federation",
}
"""What PyYAML says, and what that means."""

_AT_ITS_BEGINNING = ("could not find expected ':'", "expected ',' or", "found unexpected end of stream")
"""Of these, the mistake is where something began, not where it was noticed."""


def _explained(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it is no YAML"
    told = next((text for part, text in _TOLD.items() if part in problem), None)
    if told is not None:
        return told
    return f"{error.context}: {problem}" if error.context and error.context != problem else problem


def _without_space(text: str, line: int) -> int | None:
    """The line above this one (counted from 0), counted from 1, if it has a field without a space before its value."""
    above = text.splitlines()[:line]
    return line if above and _NO_SPACE.match(above[-1]) else None


def _mark(error: yaml.MarkedYAMLError) -> yaml.Mark | None:
    begins = any(part in (error.problem or "") for part in _AT_ITS_BEGINNING)
    return (error.context_mark if begins else None) or error.problem_mark or error.context_mark


def _error(mark: yaml.Mark | None, text: str) -> InvalidYamlError:
    return InvalidYamlError(None if mark is None else mark.line + 1, text)
