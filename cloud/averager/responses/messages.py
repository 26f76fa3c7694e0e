"""What the messages of the averager's queues say: pure parsing."""

import logging
import re
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from urllib.parse import quote_plus, unquote_plus

import msgspec

from protocol import names
from protocol.messages import (
    AbortRound,
    AverageShard,
    CheckRound,
    ExpelClient,
    InvalidMessageError,
    Outcome,
    decode,
    encode,
)
from protocol.names import UpdateName

_log = logging.getLogger(__name__)

MAX_REASON = 500
"""So many characters of a reason that a device gives are kept."""


class AssignedRound(NamedTuple):
    """The round of an assignment: what a response is to."""

    federation: str
    life: str
    round: int


class ArrivedUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """An update that S3 told of, and the message that told; `put_off` if it was heard before, between two rounds."""

    message_id: str
    name: UpdateName
    key: str
    version_id: str | None
    size: int = 0
    arrived_at: float
    put_off: bool = False

    @property
    def thing(self) -> str:
        """Whose update it is."""
        return self.name.thing

    @property
    def assigned_in(self) -> AssignedRound:
        """The round of its assignment, as its key says."""
        return AssignedRound(self.name.federation, self.name.life, self.name.round)

    @property
    def body(self) -> bytes:
        """A message that tells the same, put off."""
        part = _S3Part(object=_S3Object(key=quote_plus(self.key, safe="/"), versionId=self.version_id))
        at = datetime.fromtimestamp(self.arrived_at, UTC)
        return msgspec.json.encode(_S3Event(Records=(_S3Record(eventTime=at, s3=part),), put_off=True))


class ArrivedOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a client says when no update will come, and the message that told."""

    message_id: str
    federation: str
    outcome: Outcome
    arrived_at: float

    @property
    def thing(self) -> str:
        """Whose outcome it is."""
        return self.outcome.thing

    @property
    def assigned_in(self) -> AssignedRound:
        """The round of its assignment, as the client says."""
        return AssignedRound(self.federation, self.outcome.life, self.outcome.round)

    @property
    def put_off(self) -> bool:
        """Whether it was heard before, between two rounds."""
        return self.outcome.heard_at is not None

    @property
    def body(self) -> bytes:
        """A message that tells the same, put off: it says when it was heard first."""
        return encode(msgspec.structs.replace(self.outcome, heard_at=self.arrived_at))


Response = ArrivedUpdate | ArrivedOutcome
"""What a client sends back for an assignment."""


class Junk(msgspec.Struct, frozen=True, kw_only=True):
    """An object that a device has put where updates lie, and that is none, and the message that told."""

    message_id: str
    key: str
    version_id: str | None
    size: int


AveragerMessage = Response | Junk | CheckRound | AbortRound | AverageShard | ExpelClient


class _S3Object(msgspec.Struct):
    key: str
    versionId: str | None = None  # noqa: N815 - S3's own name
    size: int = 0


class _S3Part(msgspec.Struct):
    object: _S3Object


class _S3Record(msgspec.Struct):
    eventTime: datetime  # noqa: N815 - S3's own name
    s3: _S3Part


class _S3Event(msgspec.Struct, omit_defaults=True):
    """What S3 sends; `put_off` is our own."""

    Records: tuple[_S3Record, ...] = ()
    put_off: bool = False


_OUTCOME = re.compile(r'"kind"\s*:\s*"outcome"')
"""What the topic rule adds to all that a device reports, whether the rest can be read or not."""


class _Tagged(msgspec.Struct):
    kind: Literal["check-round", "abort-round", "average-shard", "expel-client", "outcome"] | None = None


def parse(message_id: str, body: str, now: float) -> list[AveragerMessage]:
    """What one message says; nothing, if it tells of what is no concern of the averager's.

    Raises:
        InvalidMessageError: the body is neither an S3 event nor a message of fedgrass.
    """
    try:
        kind = msgspec.json.decode(body, type=_Tagged).kind
    except (msgspec.DecodeError, RecursionError) as error:
        if _OUTCOME.search(body) is not None:
            _log.warning("left alone: %s: %.200s", error, body)
            return []
        raise InvalidMessageError(f"not a message of fedgrass: {error}: {body[:200]}") from error
    if kind == "check-round":
        return [decode(body, CheckRound)]
    if kind == "abort-round":
        return [decode(body, AbortRound)]
    if kind == "average-shard":
        return [decode(body, AverageShard)]
    if kind == "expel-client":
        return [decode(body, ExpelClient)]
    if kind == "outcome":
        return list(_outcomes(message_id, body, now))
    return list(parse_s3_event(message_id, body))


def _outcomes(message_id: str, body: str, now: float) -> list[ArrivedOutcome]:
    try:
        outcome = decode(body, Outcome)
        federation = names.parse_shadow_name(outcome.shadow)
    except (InvalidMessageError, names.InvalidNameError) as error:  # a device may report what it likes
        _log.warning("left alone: %s", error)
        return []
    outcome = msgspec.structs.replace(outcome, reason=(outcome.reason or "")[:MAX_REASON])
    at = now if outcome.heard_at is None else outcome.heard_at
    return [ArrivedOutcome(message_id=message_id, federation=federation, outcome=outcome, arrived_at=at)]


def parse_s3_event(message_id: str, body: str) -> list[ArrivedUpdate | Junk]:
    """The updates that an S3 event tells of, and what else lies among them. What lies elsewhere in the bucket is left
    out.

    Raises:
        InvalidMessageError: the body is no S3 event.
    """
    try:
        event = msgspec.json.decode(body, type=_S3Event)
    except msgspec.DecodeError as error:
        raise InvalidMessageError(f"neither an S3 event nor a message of fedgrass: {error}: {body[:200]}") from error
    stored: list[ArrivedUpdate | Junk] = []
    for record in event.Records:
        told = record.s3.object
        key = unquote_plus(told.key)
        try:
            name = names.parse_update_key(key)
        except names.InvalidNameError as error:
            if key.startswith(names.UPDATES_PREFIX):
                stored.append(Junk(message_id=message_id, key=key, version_id=told.versionId, size=told.size))
            else:
                _log.info("left alone: %s", error)
            continue
        stored.append(
            ArrivedUpdate(
                message_id=message_id,
                name=name,
                key=key,
                version_id=told.versionId,
                size=told.size,
                arrived_at=record.eventTime.timestamp(),
                put_off=event.put_off,
            )
        )
    return stored
