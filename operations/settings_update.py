"""Changing a federation's settings between its rounds: which may be changed, and what differs."""

import time
from collections.abc import Sequence

import msgspec

from cloud.settings import Federation
from cloud.state.records import FederationRecord
from cloud.state.settings_history import Difference, SettingsChange, differences
from operations.control import Operations

CHANGEABLE = (
    "preset",
    "rounds",
    "training",
    "selection",
    "completion",
    "target",
    "quorum",
    "deadline_s",
    "extension_s",
    "averaging",
    "pacing",
    "stop",
    "evaluation",
)
"""Settings that a round reads when it opens, and that nothing else depends on; with all that is in them."""

_FIXED = {
    "training.seed": "what a task builds and does not train is made with it on every device",
    "initial_model": "the federation has begun with another one",
    "encoding": "devices keep what an encoding has left out, for their next update",
    "download": "there is no such copy of the present model",
    "max_staleness": "clients may be at work that only the present value lets finish",
    "thing_group": "devices are deployed to the group",
}
"""Why some others can't be changed."""

_OF_THE_AUTHOR = ("task",)
"""Where something lies on the author's machine: nothing of a federation depends on it."""


class FixedSettingError(Exception):
    """A setting that a federation keeps for life; the text names all that are asked for, and the remedy."""


class SettingsUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed of a federation that was read: `settings` are those it will have."""

    before: FederationRecord
    settings: Federation
    differences: tuple[Difference, ...]
    first_round: int
    open_round: int | None


def prepare(operations: Operations, wanted: Federation) -> SettingsUpdate:
    """What it takes to give the federation of this name other settings; nothing is changed.

    Raises:
        UnknownFederationError: there is none of this name.
        FixedSettingError: the settings differ in what can't be changed, or there would be fewer rounds than have been.
    """
    record = operations.federations.get(wanted.name)
    settings = msgspec.structs.replace(wanted, **{name: getattr(record.settings, name) for name in _OF_THE_AUTHOR})
    found = differences(record.settings, settings)
    under_way = operations.under_way(record)
    open_round = under_way.round if under_way else None
    latest = open_round or record.round
    reasons = [f"{d.setting}: {d.before} can't become {d.after}: {why}" for d in found if (why := _why_fixed(d))]
    if settings.rounds < latest:
        reasons.append(
            f"rounds: {settings.rounds} is less than the {latest} that there have been: give {latest} at least"
        )
    if reasons:
        raise FixedSettingError("\n".join(reasons))
    return SettingsUpdate(
        before=record, settings=settings, differences=found, first_round=latest + 1, open_round=open_round
    )


def apply(operations: Operations, update: SettingsUpdate) -> FederationRecord:
    """Change the settings; returns the federation as it then is.

    Raises:
        ChangedMeanwhileError: see there.
    """
    change = SettingsChange(at=time.time(), first_round=update.first_round, differences=update.differences)
    return operations.federations.change_settings(update.before, update.settings, change)


def _why_fixed(difference: Difference) -> str | None:
    path = difference.setting
    if reason := _within(path, _FIXED):
        return f"{_FIXED[reason]}; make a new federation for it"
    return None if _within(path, CHANGEABLE) else "it stays as long as the federation lives; make a new one for it"


def _within(path: str, places: Sequence[str] | dict[str, str]) -> str | None:
    return next((place for place in places if f"{path}.".startswith(f"{place}.")), None)
