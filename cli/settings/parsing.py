"""Settings from what YAML or JSON gave."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cli.settings.contradictions import contradictions
from cli.settings.fields import checked
from cli.settings.presets import completed
from cli.settings.problems import Problem, shown
from cloud.settings import Federation, InvalidSettingsError


def parse(raw: Any) -> Federation:
    """Checked settings.

    Raises:
        InvalidSettingsError: a field is missing, unknown, has a value that it may not have, or one that makes no sense
            beside another; the text names all of them.
    """
    settings, problems = validate(raw)
    if settings is None:
        raise InvalidSettingsError("federation settings: " + "; ".join(map(str, problems)))
    return settings


def validate(raw: Any) -> tuple[Federation | None, list[Problem]]:
    """The settings, or what is wrong with them: with the fields by themselves, or, if there is nothing, with one beside
    another."""
    if not isinstance(raw, Mapping):
        return None, [
            Problem(
                (), f"{shown(raw)}: federation settings are fields with values, such as name: my-federation{_hint(raw)}"
            )
        ]
    found: list[Problem] = []
    raw = completed(raw)
    values = checked(raw, found)
    if not found:
        settings = msgspec.convert(values, Federation)
        found.extend(contradictions(settings, raw))
        if not found:
            return settings, []
    return None, found


def _hint(raw: Any) -> str:
    if isinstance(raw, list):
        return ", each on its line, without the '-' before it"
    return ": a colon and a space stand between them" if isinstance(raw, str) and "=" in raw else ""
