"""The device's named shadow: documents that come in, reported updates that go out. Pure functions."""

from collections.abc import Mapping
from typing import Any

import msgspec

from protocol import messages
from protocol.messages import Assignment, InvalidMessageError, Life, Progress, Reported


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow document. `assignment` is desired.assignment as JSON: `read_assignment` understands it.

    `timestamp` is when the cloud answered (whole seconds since 1970, None if it did not say).
    """

    assignment: dict[str, Any] | None = None
    withdrawn: int | None = None
    withdrawn_life: str | None = None
    reported: Reported = Reported()
    version: int = 0
    timestamp: int | None = None

    def is_withdrawn(self, life: str, round_number: int) -> bool:
        """Whether the cloud does not want such an assignment any more."""
        return life == (self.withdrawn_life or "") and round_number <= (self.withdrawn or 0)


class _Half(msgspec.Struct):
    assignment: dict[str, Any] | None = None
    withdrawn: int | None = None
    withdrawn_life: str | None = None
    progress: Any = None


class _State(msgspec.Struct):
    desired: _Half = msgspec.field(default_factory=_Half)
    reported: _Half = msgspec.field(default_factory=_Half)


class _Document(msgspec.Struct):
    state: _State
    version: int = 0
    timestamp: int | None = None


class _Delta(msgspec.Struct):
    version: int = 0


class Rejection(msgspec.Struct, frozen=True):
    """Why the shadow service refused a request; `code` is an HTTP status, 404 means that there is no shadow yet."""

    code: int = 0
    message: str = ""


def parse(payload: bytes) -> Shadow:
    """The document that arrived on `get/accepted`.

    Raises:
        InvalidMessageError: it is not a shadow document, or a half of it is not what fedgrass puts there.
    """
    try:
        document = msgspec.json.decode(payload, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidMessageError(f"not a shadow document: {error}") from error
    desired, reported = document.state.desired, document.state.reported
    try:
        progress = None if reported.progress is None else msgspec.convert(reported.progress, Progress)
    except msgspec.ValidationError:
        progress = None  # of another version of this component: it will be replaced
    return Shadow(
        assignment=desired.assignment,
        withdrawn=desired.withdrawn,
        withdrawn_life=desired.withdrawn_life,
        reported=Reported(
            assignment=reported.assignment,
            withdrawn=reported.withdrawn,
            withdrawn_life=reported.withdrawn_life,
            progress=progress,
        ),
        version=document.version,
        timestamp=document.timestamp,
    )


def parse_delta_version(payload: bytes) -> int:
    """The version of the shadow that an `update/delta` message tells of; 0 if it does not say."""
    try:
        return msgspec.json.decode(payload, type=_Delta).version
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0


def parse_rejection(payload: bytes) -> Rejection:
    """The answer on `get/rejected` or `update/rejected`; what cannot be read is its message."""
    try:
        return msgspec.json.decode(payload, type=Rejection)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Rejection(message=payload[:200].decode(errors="replace"))


def read_assignment(raw: Mapping[str, Any]) -> Assignment:
    """The assignment in its JSON.

    Raises:
        InvalidMessageError: it is malformed, or of a version that this component does not speak.
    """
    assignment = messages.convert(raw, Assignment)
    # A stack that was set back to a version without evaluations does not remove what an earlier round had there.
    return assignment if assignment.v >= messages.EVALUATING else msgspec.structs.replace(assignment, evaluate=None)


def read_life(raw: Mapping[str, Any]) -> str:
    """The life that an assignment is of which `read_assignment` refuses, as far as that can be read."""
    try:
        return msgspec.convert(raw.get("life", ""), Life)
    except msgspec.ValidationError:
        return ""


def read_round(raw: Mapping[str, Any]) -> int | None:
    """The round of an assignment that `read_assignment` refuses, if at least that can be read."""
    round_number = raw.get("round")
    return round_number if isinstance(round_number, int) and round_number >= 1 else None


def update(wanted: Reported, known: Reported) -> bytes | None:
    """The message for the `update` topic that makes the reported half of the shadow `wanted`, None if it is so already.

    `known` is the half that the last document showed. A shadow merges what it is told into what it has, so what has
    to vanish is said to be null.
    """
    if wanted == known:
        return None
    reported: dict[str, Any] = {}
    if wanted.assignment != known.assignment:
        reported["assignment"] = _with_nulls(wanted.assignment, known.assignment)
    for field in ("withdrawn", "withdrawn_life"):
        if getattr(wanted, field) != getattr(known, field):
            reported[field] = getattr(wanted, field)
    if wanted.progress is not None:
        # Whole, and with a null for each field that has no value: an earlier update, that `known` does not show yet,
        # may have set it.
        reported["progress"] = dict.fromkeys(Progress.__struct_fields__) | msgspec.to_builtins(wanted.progress)
    return msgspec.json.encode({"state": {"reported": reported}})


def _with_nulls(new: Any, old: Any) -> Any:
    if not isinstance(new, dict) or not isinstance(old, dict):
        return new
    merged = {key: _with_nulls(value, old.get(key)) for key, value in new.items()}
    return merged | {key: None for key in old if key not in new}
