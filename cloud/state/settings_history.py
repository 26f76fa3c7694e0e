"""How a federation's settings have changed since it was made, and what that means for the models it has.

All are pure functions.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from cloud.settings import Averaging, Federation

MAX_CHANGES = 100
"""So many changes are kept: the record of a federation stays small."""

ModelFile = Literal["optimizer", "ema", "last_updates"]
"""What belongs to a model besides itself, and is made with some settings only."""


class Difference(msgspec.Struct, frozen=True):
    """A setting that was changed: its path in federation.yaml, such as "training.learning_rate", and its values."""

    setting: str
    before: Any
    after: Any


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator changed, and when, in seconds since 1970-01-01 UTC. `first_round` is the first one that has it;
    a round that was open then ends as it began."""

    at: float
    first_round: int
    differences: tuple[Difference, ...]


def differences(before: Federation, after: Federation) -> tuple[Difference, ...]:
    """What differs between two settings, in the order of federation.yaml's fields. Of a server optimizer that is
    another one, the whole differs."""
    return tuple(_differences("", msgspec.to_builtins(before), msgspec.to_builtins(after)))


def changes_averaging(changes: Sequence[SettingsChange]) -> bool:
    """Whether models may have been made with another averaging than today's. Of changes that are not kept any more
    nothing is known."""
    every = [difference.setting for change in changes for difference in change.differences]
    return len(changes) >= MAX_CHANGES or any(setting.startswith("averaging.") for setting in every)


def lacking(averaging: Averaging, made_by: Averaging | None) -> tuple[ModelFile, ...]:
    """What there is not, or not of use, of a model that a round with another averaging made: a server optimizer begins
    anew after another one, and so does a moving average that is new. None is an averaging that is not known."""
    found: list[ModelFile] = []
    if made_by is None or _kept(made_by) != _kept(averaging):
        found.append("optimizer")
    if averaging.ema and (made_by is None or not made_by.ema):
        found.append("ema")
    return tuple(found)


def _kept(averaging: Averaging) -> tuple[type, bool]:
    """What the state of a server optimizer consists of."""
    return type(averaging.optimizer), averaging.variance_reduction


def _differences(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in {**before, **after}:
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict) and was.get("name") == now.get("name"):
            yield from _differences(f"{prefix}{name}.", was, now)
        else:
            yield Difference(prefix + name, was, now)
