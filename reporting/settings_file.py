"""A federation's settings as a federation.yaml that says them: what differs from the defaults."""

import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from cloud.settings import Federation
from cloud.state.known_fields import known_fields

_PLAIN = re.compile(r"[A-Za-z][A-Za-z_./-]*")
"""What is the same text to readers of YAML 1.1 and of 1.2, unless it is one of the words for true, false and null."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - none is ever used
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _PLAIN.fullmatch(text) else '"')


_Dumper.add_representer(str, _text)


def yaml_of(settings: Federation) -> str:
    """The settings, each field in its place."""
    return yaml.dump(_given(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def read(path: Path) -> Federation:
    """The settings that `yaml_of` gave, of this version or another one.

    Raises:
        OSError: there is no such file.
        ValueError: it says something else.
    """
    try:
        return msgspec.convert(known_fields(yaml.safe_load(path.read_text("utf-8")), Federation), Federation)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeError) as error:
        raise ValueError(f"{path} holds no federation's settings: {error}") from error


def _given(value: Any) -> Any:
    if not isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    tag = value.__struct_config__
    given = {} if tag.tag_field is None else {tag.tag_field: tag.tag}
    for field in msgspec.structs.fields(type(value)):
        one = getattr(value, field.name)
        if field.required or one != field.default:
            given[field.name] = _given(one)
    return given
