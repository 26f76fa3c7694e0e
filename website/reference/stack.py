"""Every parameter of the stack: from its template."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from lint.short_forms import ShortForms
from operations.deployment import SETTABLE, TEMPLATE
from website.markdown import code, prose, table


@cache
def template() -> Any:
    """The template."""
    return yaml.load(TEMPLATE.read_text(), ShortForms)  # noqa: S506 - a safe loader


def resources(kind: str) -> dict[str, Any]:
    """The properties of the stack's resources of a kind, by their names in the template."""
    return {name: each["Properties"] for name, each in template()["Resources"].items() if each["Type"] == kind}


def page() -> str:
    """The page."""
    return "\n".join(
        [
            "# The stack\n",
            "## Parameters\n",
            "`fedgrass deploy cloud --parameter NAME=VALUE` sets one; it stays so until it is set again.\n",
            table(("parameter", "default", "takes", "meaning"), _parameters()),
            "## Alarms\n",
            "[Operating](../operating.md#when-something-is-wrong) says what to do about each.\n",
            table(("alarm", "meaning"), _alarms()),
        ]
    )


def _parameters() -> Iterator[tuple[str, str, str, str]]:
    for name, about in template()["Parameters"].items():
        if name in SETTABLE:
            values = ", ".join(map(code, map(str, about.get("AllowedValues", ()))))
            least = f"{code(str(about['MinValue']))} and more" if "MinValue" in about else ""
            default = about.get("Default", "")
            yield (
                code(name),
                code(str(default)) or "none",
                values or least or prose(about.get("ConstraintDescription", about["Type"].lower())),
                prose(about["Description"]),
            )


def _alarms() -> Iterator[tuple[str, str]]:
    for name, about in resources("AWS::CloudWatch::Alarm").items():
        yield code(name), prose(about["AlarmDescription"])
