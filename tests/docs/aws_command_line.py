"""AWS's own command line, as far as documents and remedies have it: a line becomes a call, by botocore's models."""

import json
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session
import jmespath  # type: ignore[import-untyped]
from botocore import xform_name
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

HOLE = "hole" * 16
"""Stands for what is only known when a line is given; an ARN or an identifier of a certificate is as long."""

_OF_EVERY_COMMAND = ("--region", "--profile", "--output", "--cli-input-json")


class UnknownWordError(ValueError):
    """AWS has no such service, operation or option, or the option takes no such value."""


class Call(NamedTuple):
    """What a line asks for: `query` is what is shown of the answer, `parts` the words that belong to no option."""

    operation: OperationModel
    parameters: dict[str, Any]
    query: str | None
    parts: tuple[str, ...]

    @property
    def method(self) -> str:
        """What the operation is called in boto3."""
        return str(xform_name(self.operation.name))

    def shown(self, answer: Any) -> Any:
        """What of an answer is printed."""
        return jmespath.search(self.query or "@", answer)

    @property
    def faults(self) -> str:
        """What botocore finds wrong with the parameters, or is missing; "" if nothing."""
        shape = self.operation.input_shape
        return ParamValidator().validate(self.parameters, shape).generate_report() if shape else ""


def parsed(line: str) -> Call:
    """
    Raises:
        UnknownWordError: a word of the line is none of AWS's.
    """
    _, service, verb, *words = shlex.split(line)
    operation = _operation(service, verb)
    members = operation.input_shape.members if operation.input_shape else {}
    options = {f"--{xform_name(name, '-')}": name for name in members}
    parameters, query, parts = {}, None, list(_before_options(words))
    for option, values in _options(words[len(parts) :]):
        if option == "--query":
            query = " ".join(values)
            jmespath.compile(query)
        elif option in options:
            shape = members[options[option]]
            taken = len(values) if shape.type_name == "list" else int(shape.type_name != "boolean")
            parameters[options[option]] = _value(shape, values[:taken])
            parts += values[taken:]
        elif option not in _OF_EVERY_COMMAND:
            raise UnknownWordError(f"aws {service} {verb} has no {option}: it has {', '.join(options)}")
    return Call(operation, parameters, query, tuple(parts))


@cache
def _operation(service: str, verb: str) -> OperationModel:
    session = botocore.session.get_session()
    if service not in session.get_available_services():
        raise UnknownWordError(f"AWS has no service {service!r}")
    model = session.get_service_model(service)
    for name in model.operation_names:
        if xform_name(name, "-") == verb:
            return model.operation_model(name)
    raise UnknownWordError(f"aws {service} has no {verb!r}")


def _before_options(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("--"):
            return
        yield word


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    for position, word in enumerate(words):
        if word.startswith("--"):
            yield word, list(_before_options(words[position + 1 :]))


def _value(shape: Shape, words: list[str]) -> Any:
    if words and words[0].startswith("file://"):
        words = [Path(words[0].removeprefix("file://")).read_text(), *words[1:]]
    if shape.type_name == "boolean":
        return True
    if shape.type_name in ("list", "structure", "map") and words[0][:1] in ("[", "{"):
        return json.loads(words[0])
    if shape.type_name == "list":
        return [_value(shape.member, [word]) for word in words]  # type: ignore[attr-defined]
    if shape.type_name in ("structure", "map"):
        return dict(pair.split("=", 1) for pair in words[0].split(","))
    if shape.type_name in ("integer", "long", "double", "float"):
        return float(words[0]) if shape.type_name in ("double", "float") else int(words[0])
    if getattr(shape, "enum", None) and words[0] not in (*shape.enum, HOLE):  # type: ignore[attr-defined]
        raise UnknownWordError(f"{words[0]!r} is none of {', '.join(shape.enum)}")  # type: ignore[attr-defined]
    return words[0]
