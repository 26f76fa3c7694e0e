"""Recipe variables: what `{namespace:key}` in a component's script becomes. The two nuclei agree on little of it."""

import logging
import re
from pathlib import Path

import msgspec

from sandbox.nucleus.configuration import Configuration, UnknownKeyError

logger = logging.getLogger(__name__)

_VARIABLE = re.compile(r"\{([^{}\s]+)\}")
_SPECIAL_IN_DOUBLE_QUOTES = re.compile(r'["\\$`]')


class Variables(msgspec.Struct, frozen=True, kw_only=True):
    """What a component's recipe variables stand for."""

    thing: str
    artifacts: Path
    decompressed: Path
    work: Path
    root: Path
    configuration: Configuration


def fill_in_classic(script: str, variables: Variables) -> str:
    """The script as the classic nucleus runs it: values go in as they are, and any other brace stays.

    So does a variable of another component, {component:namespace:key}: there is no other on this device.
    """

    def value(match: re.Match[str]) -> str:
        known = _value(match[1], variables, directory_end="")
        return match[0] if known is None else known

    return _VARIABLE.sub(value, script)


def fill_in_lite(script: str, variables: Variables) -> str:
    """The script as nucleus lite runs it: every opening brace begins a variable, values are escaped for double quotes,
    and the script ends before the first variable that stands for nothing."""
    done: list[str] = []
    rest = script
    while "{" in rest:
        before, _, after = rest.partition("{")
        name, closed, rest = after.partition("}")
        known = _value(name, variables, directory_end="/") if closed else None
        done.append(before)
        if known is None:
            logger.warning("%s: script cut before {%s: %r", variables.thing, name, script)
            return "".join(done)
        done.append(_SPECIAL_IN_DOUBLE_QUOTES.sub(r"\\\g<0>", known))
    return "".join(done) + rest


def _value(name: str, variables: Variables, *, directory_end: str) -> str | None:
    known = {
        "iot:thingName": variables.thing,
        "artifacts:path": f"{variables.artifacts}{directory_end}",
        "artifacts:decompressedPath": f"{variables.decompressed}{directory_end}",
        "work:path": f"{variables.work}{directory_end}",
        "kernel:rootPath": str(variables.root),
    }
    if name.startswith("configuration:/"):
        try:
            value = variables.configuration.get(name.removeprefix("configuration:/").split("/"))
        except UnknownKeyError:
            return None
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return known.get(name)
