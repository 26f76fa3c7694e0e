"""The API's HTTP as botocore's model of greengrassv2 describes it: requests into parameters, results into answers."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape

from sandbox.greengrass.errors import ServiceError, ValidationError

_PARAMETER = re.compile(r"\{(\w+)\+?\}")


class Answer(msgspec.Struct, frozen=True):
    """What goes back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Call(msgspec.Struct, frozen=True):
    """A request that has been understood: its operation's name, and parameters by their names in the model."""

    operation: str
    parameters: Mapping[str, Any]


class Wire:
    """Reads requests and writes answers."""

    def __init__(self) -> None:
        self._model = ServiceModel(Loader().load_service_model("greengrassv2", "service-2"), "greengrassv2")
        operations = map(self._model.operation_model, self._model.operation_names)
        self._routes = [(operation.http["method"], _pattern(operation), operation) for operation in operations]

    def read(self, method: str, target: str, body: bytes) -> Call:
        """
        Raises:
            ValidationError: the API has no such operation, or its parameters are not as they have to be.
        """
        address = urlsplit(target)
        for of, pattern, operation in self._routes:
            match = pattern.fullmatch(address.path)
            if match is not None and of == method:
                given = {name: unquote(value) for name, value in match.groupdict().items()}
                return Call(operation.name, _parameters(operation, given, parse_qs(address.query), body))
        raise ValidationError(f"{method} {address.path} is no operation", reason="UNKNOWN_OPERATION")

    def answer(self, operation: str, result: Mapping[str, Any]) -> Answer:
        """The answer of an operation; values that are None are left out."""
        model = self._model.operation_model(operation)
        shape = model.output_shape
        body = b"" if shape is None else json.dumps(_written(shape, result)).encode()
        return Answer(model.http.get("responseCode", 200), {"Content-Type": "application/json"}, body)

    def refusal(self, error: ServiceError) -> Answer:
        """The answer to a call that is not done."""
        shape: Any = self._model.shape_for(error.code)
        body = _written(shape, {"message": error.message, **error.fields})
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": error.code}
        return Answer(shape.metadata["error"]["httpStatusCode"], headers, json.dumps(body).encode())


def _pattern(operation: OperationModel) -> re.Pattern[str]:
    parts = _PARAMETER.split(operation.http["requestUri"])
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    )


def _parameters(
    operation: OperationModel, in_path: Mapping[str, str], query: Mapping[str, Sequence[str]], body: bytes
) -> dict[str, Any]:
    shape: Any = operation.input_shape
    if shape is None:
        return {}
    try:
        in_body = json.loads(body or b"{}")
    except ValueError as error:
        raise ValidationError(f"the request is no JSON: {error}", reason="CANNOT_PARSE") from error
    if not isinstance(in_body, dict):
        raise ValidationError("the request is no JSON object", reason="CANNOT_PARSE")
    given: dict[str, Any] = {}
    for name, member in shape.members.items():
        location, key = member.serialization.get("location"), member.serialization.get("name", name)
        if location == "uri":
            given[name] = in_path[key]
        elif location == "querystring" and key in query:
            given[name] = query[key] if member.type_name == "list" else _from_text(member, query[key][0])
        elif location is None and in_body.get(key) is not None:
            given[name] = in_body[key]
    return dict(_read(shape, given, ""))


def _from_text(shape: Shape, text: str) -> Any:
    if shape.type_name in {"integer", "long"}:
        return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
    return text


_TYPES: Mapping[str, Any] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
}


def _read(shape: Any, value: Any, where: str) -> Any:
    """A value as its shape asks for it; what the shape does not have is left out."""
    kind = shape.type_name
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise _wrong(where, f"{value!r:.100} is no {kind}")
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                raise _wrong(f"{where}.{name}".lstrip("."), "is missing")
        return {
            name: _read(member, value[name], f"{where}.{name}".lstrip("."))
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if kind == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise _wrong(where, f"is not base64: {error}") from error
    _check_limits(shape, value, where)
    if kind == "map":
        return {_read(shape.key, key, where): _read(shape.value, of, f"{where}.{key}") for key, of in value.items()}
    if kind == "list":
        return [_read(shape.member, one, f"{where}[{index}]") for index, one in enumerate(value)]
    return value


def _check_limits(shape: Any, value: Any, where: str) -> None:
    limits = shape.metadata
    size = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if size is None and isinstance(value, str | list | dict):
        size = len(value)
    if size is not None and not limits.get("min", size) <= size <= limits.get("max", size):
        raise _wrong(where, f"{value!r:.100} is outside {limits.get('min', '')}..{limits.get('max', '')}")
    if "enum" in limits and value not in limits["enum"]:
        raise _wrong(where, f"{value!r:.100} is none of {', '.join(limits['enum'])}")
    if "pattern" in limits and re.search(limits["pattern"], value) is None:
        raise _wrong(where, f"{value!r:.100} does not match {limits['pattern']}")


def _wrong(where: str, why: str) -> ValidationError:
    message = f"{where}: {why}"
    return ValidationError(message, reason="FIELD_VALIDATION_FAILED", fields=[{"name": where, "message": why}])


def _written(shape: Any, value: Any) -> Any:
    """A result as JSON has it.

    Raises:
        KeyError: it has what the shape does not.
    """
    kind = shape.type_name
    if kind == "structure":
        return {name: _written(shape.members[name], of) for name, of in value.items() if of is not None}
    if kind == "map":
        return {key: _written(shape.value, of) for key, of in value.items()}
    if kind == "list":
        return [_written(shape.member, one) for one in value]
    if kind == "blob":
        return base64.b64encode(value).decode()
    return value.timestamp() if isinstance(value, datetime) else value
