"""Checks of what a device has said lately: its hello, its shadow, its clock."""

import datetime
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from operations.doctoring.account import of_clock
from operations.doctoring.case import Patient
from operations.doctoring.finding import NotCheckedError, Observation, not_checked, ok, wrong
from protocol import names
from protocol.messages import Desired, Reported

_HEARD_S = 900.0
"""A device looks at its shadow every five minutes, and need not be told."""

_MISSED = 3
_DELAY_S = 86_400.0
"""So long what a device says may be on its way, while it is offline: its clock need not be slow."""


_AS_ASKED = re.compile(
    r"withdrawn: .*|not ready, says the task|"
    r"(?!this device does not ).*\((hours|max_temperature_c|min_battery_percent|mains_only|unmetered_only)\)"
)
"""Reasons to decline a round with which nothing is wrong: it ended meanwhile, or a condition that passes did not hold.
What a device lacks, or can't tell, does not pass."""


class _State(msgspec.Struct):
    desired: Desired = Desired()
    reported: Reported = Reported()


def hello(patient: Patient) -> Iterator[Observation]:
    """It has said hello to a federation, and answers its rounds."""
    for federation, client in patient.memberships:
        name = federation.federation
        version = f"with {client.component_version} on {client.nucleus or 'an unknown nucleus'}"
        if client.missed >= _MISSED:
            reason = client.last_reason or "no reason is known"
            show = patient.case.command(f"logs {name} --thing {patient.thing}")
            yield wrong(f"it has missed {client.missed} rounds of {name} in a row: {reason}", show)
        elif client.last_seen is None:
            yield not_checked(f"nobody knows when it said hello to {name}")
        else:
            at = datetime.datetime.fromtimestamp(client.last_seen, datetime.UTC)
            yield ok(f"it said hello to {name} at {at:%F %T}, {version}")
    if not patient.memberships:
        look = "look at its component's configuration, federation, and at its log"
        yield wrong("it has said hello to no federation of the stack", look)


def shadow(patient: Patient) -> Iterator[Observation]:
    """It has taken its last assignment, and says how that went."""
    for federation, _ in patient.memberships:
        name = federation.federation
        document = _document(patient, name)
        if document is None:
            yield ok(f"it has had no assignment of {name} yet")
            continue
        try:
            state = msgspec.convert(document["state"], _State)
        except msgspec.ValidationError as error:
            begin_anew = patient.case.command(f"forget {name} {patient.thing}")
            yield wrong(f"its shadow of {name} can't be read: {error}", begin_anew)
            continue
        wanted, progress = state.desired.assignment, state.reported.progress
        if wanted is not None and wanted.life != federation.life:
            wanted = None
        if progress is not None and progress.life != federation.life:
            progress = None
        is_withdrawn = wanted is not None and (state.desired.withdrawn or 0) >= wanted.round
        show = patient.case.command(f"logs {name} --thing {patient.thing}")
        if wanted is None:
            yield ok(f"it has had no assignment of {name} yet")
        elif (progress is None or progress.round < wanted.round) and not is_withdrawn:
            told_s = patient.case.now - _changed_at(document, "desired", "assignment", "round", otherwise=0.0)
            if told_s > _HEARD_S:
                text = f"it has not heard of round {wanted.round} of {name}, of which it was told {told_s:,.0f} s ago"
                yield wrong(text, f"is it on, and online? {show}")
            else:
                yield ok(f"it was told of round {wanted.round} of {name} {told_s:,.0f} s ago")
        elif progress is None:
            yield ok(f"it has said nothing of {name} yet")
        elif progress.phase == "declined" and _AS_ASKED.fullmatch(progress.reason or ""):
            yield ok(f"round {progress.round} of {name}: declined, as it is to: {progress.reason}")
        elif progress.phase in ("failed", "declined"):
            text = f"round {progress.round} of {name}: {progress.phase}: {progress.reason or 'no reason'}"
            yield wrong(text, show)
        else:
            waits = f": {progress.reason}" if progress.reason else ""
            yield ok(f"round {progress.round} of {name}: {progress.phase}{waits}")
    if not patient.memberships:
        raise NotCheckedError("it is no client of any federation")


def device_clock(patient: Patient) -> Iterator[Observation]:
    """Its clock is AWS's, as far as its last word shows."""
    for federation, _ in patient.memberships:
        document = _document(patient, federation.federation)
        try:
            said = None if document is None else msgspec.convert(document["state"], _State).reported.progress
        except msgspec.ValidationError:
            continue
        if said is None or said.at is None:
            continue
        fast_s = said.at - _changed_at(document, "reported", "progress", "at", otherwise=said.at)
        yield of_clock(0.0 if -_DELAY_S < fast_s < 0 else fast_s, patient.thing)
        return
    raise NotCheckedError("it has said nothing with a time in it yet")


def _document(patient: Patient, federation: str) -> Any:
    iot = patient.case.client("iot-data")
    try:
        found = iot.get_thing_shadow(thingName=patient.thing, shadowName=names.shadow_name(federation))
    except iot.exceptions.ResourceNotFoundException:
        return None
    return json.loads(found["payload"].read())


def _changed_at(document: Any, *path: str, otherwise: float) -> float:
    """When AWS IoT took a field of a shadow."""
    found: Any = document.get("metadata", {})
    for name in path:
        found = found.get(name, {}) if isinstance(found, dict) else {}
    return float(found.get("timestamp", otherwise)) if isinstance(found, dict) else otherwise
