"""Which values the parameters of cloud/template.yaml take, so that a wrong one is told before AWS is asked."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from operations.deployment import TEMPLATE

_PARAMETERS = re.compile(r"^Parameters:\n(?:[ #].*\n|\n)+", re.MULTILINE)
"""Only these are read: the rest is long, and has CloudFormation's own tags."""

_WHOLE = re.compile(r"-?[0-9]{1,18}")


def faults(given: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the values of parameters, which the template has."""
    section = _PARAMETERS.search(TEMPLATE.read_text())
    assert section is not None  # noqa: S101
    known: dict[str, dict[str, Any]] = yaml.safe_load(section[0])["Parameters"]
    for name, value in given.items():
        if not _takes(known[name], value):
            yield f"{name} can't be {value!r}: it takes {_wanted(known[name])}"


def _takes(parameter: Mapping[str, Any], value: str) -> bool:
    if parameter["Type"] != "Number":
        is_like = re.fullmatch(parameter.get("AllowedPattern", ".*"), value, re.DOTALL) is not None
        return is_like and value in parameter.get("AllowedValues", (value,))
    if not _WHOLE.fullmatch(value):
        return False
    number = int(value)
    least, most = parameter.get("MinValue", number), parameter.get("MaxValue", number)
    return least <= number <= most and number in parameter.get("AllowedValues", (number,))


def _wanted(parameter: Mapping[str, Any]) -> str:
    if allowed := parameter.get("AllowedValues"):
        return f"one of {', '.join(map(str, allowed))}"
    if like := parameter.get("ConstraintDescription"):
        return str(like)
    end = f"to {parameter['MaxValue']}" if "MaxValue" in parameter else "on"
    return f"a whole number from {parameter['MinValue']} {end}"
