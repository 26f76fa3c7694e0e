"""Settings that are given on the command line, in the place of those of federation.yaml: `--set training.steps=3`."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cli.settings.problems import Path
from cli.settings.yaml_file import InvalidYamlError, YamlText


class InvalidOptionError(ValueError):
    """A text that gives no setting a value."""


class GivenOption(NamedTuple):
    """A field's new value, and the `option` that gave it, for messages."""

    option: str
    path: Path
    value: Any


def parse_set(text: str) -> GivenOption:
    """What `--set TEXT` gives: a field by its dotted name, and its value as federation.yaml would have it.

    Raises:
        InvalidOptionError: it gives none.
    """
    option = f"--set {text}"
    name, equals, value = text.partition("=")
    path = tuple(name.strip().split("."))
    if not equals or not all(path):
        raise InvalidOptionError(f"{option}: use a field of federation.yaml and its value: training.learning_rate=0.01")
    try:
        return GivenOption(option, path, YamlText(value.encode(errors="surrogateescape")).value)
    except InvalidYamlError as error:
        raise InvalidOptionError(f"{option}: {error}") from error


def replaced(raw: Any, options: Iterable[GivenOption]) -> Any:
    """What a file says, with the values of these options, the last one for each field."""
    for option in options:
        raw = _with(raw, option.path, option.value)
    return raw


def _with(raw: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    fields = dict(raw) if isinstance(raw, Mapping) else {}
    return fields | {path[0]: _with(fields.get(path[0]), path[1:], value)}


def option_of(path: Path, options: Iterable[GivenOption]) -> str | None:
    """The option that a problem with this field comes from: the last one that gives it, what is around it, or a part of
    it."""
    found = [given.option for given in options if path and (path[: len(given.path)] == given.path[: len(path)])]
    return found[-1] if found else None
