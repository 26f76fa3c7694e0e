"""What devices say in their shadows, for an operator to read."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from protocol import names
from protocol.messages import Progress

_PARALLEL = 8


class _Reported(msgspec.Struct):
    progress: Progress | None = None


class _State(msgspec.Struct):
    reported: _Reported | None = None


class _Document(msgspec.Struct):
    state: _State


def progress_of(iot: Any, federation: str, things: Sequence[str]) -> dict[str, Progress | None]:
    """How far each of these things says in its shadow of a federation that it is; None of one that says nothing. AWS
    charges a shadow operation for each. `iot` is a boto3 client of iot-data."""
    shadow = names.shadow_name(federation)

    def of_thing(thing: str) -> Progress | None:
        try:
            answer = iot.get_thing_shadow(thingName=thing, shadowName=shadow)
        except iot.exceptions.ResourceNotFoundException:
            return None
        return progress_in(answer["payload"].read())

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip(things, pool.map(of_thing, things), strict=True))


def progress_in(document: bytes) -> Progress | None:
    """What a device says in a document of its shadow, or in an update to it; None if it is nothing that this version
    can read."""
    try:
        reported = msgspec.json.decode(document, type=_Document).state.reported
    except msgspec.DecodeError:
        return None
    return None if reported is None else reported.progress
