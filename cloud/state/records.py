"""The records of the four DynamoDB tables as frozen values, and how they become items.

Attributes that conditions and key schemas use are native (S, N); values with an inner structure are JSON strings.
"""

import functools
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from cloud.settings import Federation
from cloud.state.known_fields import known_fields
from cloud.state.settings_history import ModelFile, SettingsChange
from cloud.state.spread import Spread
from protocol.messages import ModelReference, OpenRound, Report, RoundStatus

Item = dict[str, dict[str, Any]]

FederationStatus = Literal["ready", "running", "paused", "finished"]
ResponseState = Literal["accepted", "failed", "declined", "refused", "early"]
Stage = Literal["distances", "sums", "parts"]

EXPELLED = "expelled"
"""The reason for which nothing counts of a thing that an operator has expelled."""


class CorruptRecordError(Exception):
    """A DynamoDB item that this version of fedgrass can't read: another one wrote it, or none."""


class FleetCount(msgspec.Struct, frozen=True, kw_only=True):
    """A federation's clients, counted; `placed` says that all of them have a place in their random order."""

    clients: int
    counted_at: float
    placed: bool


class BestModel(msgspec.Struct, frozen=True, kw_only=True):
    """The model by which a `metric` was best: its `value` was measured in `round`, before clients trained."""

    metric: str
    value: float
    round: int
    model: ModelReference


class ModelEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients of a `round` that evaluates have measured of a `model`: the metrics together, and how each
    differs between them, as a `RoundRecord` has them."""

    round: int
    model: str
    metrics: dict[str, float]
    spreads: dict[str, Spread]


class FederationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One federation. `round` is the last one that ended; `model` is the current global model.

    `life` tells it from those that had its name before (`names.new_life`).
    `waiting` says that a round could not open, for want of clients: the next hello tries again. `schema` identifies
    the model's tensors, their dtypes and shapes (`schema_id`), which stay the same in all rounds. No round opens before
    `next_at`. The things that are `expelled` are no clients, whatever they say or send.

    `changes` are those that an operator has made to the settings, the last ones of them; `revision` counts all.
    `fleet` is there when there are too many clients to read all of them for each round.

    `best` is the best model so far, if the settings' stop rule names a metric; `stopped` says why that rule has ended
    the rounds; `average_s` is the moving average of how long rounds took; `spent_usd` is what all rounds have cost in
    AWS, and `round_usd` what the last one that trained has, as far as that is known (`cloud.pricing.round_price`).
    `evaluation` is what the last round that evaluates has measured. Of the models up to that of round `forgot_in`
    clients' last updates are of no use: a client may be among them that was forgotten since.
    """

    federation: str
    settings: Federation
    status: FederationStatus
    round: int
    model: ModelReference
    schema: str
    life: str = ""
    waiting: bool = False
    next_at: float = 0.0
    expelled: tuple[str, ...] = ()
    revision: int = 0
    changes: tuple[SettingsChange, ...] = ()
    fleet: FleetCount | None = None
    best: BestModel | None = None
    stopped: str = ""
    average_s: float | None = None
    spent_usd: float | None = None
    round_usd: float | None = None
    evaluation: ModelEvaluation | None = None
    forgot_in: int = 0

    @property
    def ended_by_rule(self) -> str:
        """Why a stop rule has ended the rounds, if it has, and they have not begun again since; else ""."""
        return self.stopped if self.status == "finished" else ""

    @property
    def next_round(self) -> OpenRound:
        """Asks for the round after the last one that ended."""
        return OpenRound(federation=self.federation, life=self.life, round=self.round + 1)


class ClientRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One client of a federation: what it can do, and how it has done. A restart never resets its history.

    `turnaround_s` is the moving average (EWMA) of its turnarounds, None before its first update; `missed` counts the
    rounds in a row that it was selected for and did not answer. `last_reason` says why no update of it counted in
    `last_round`, the last one that taught anything about it; None if one did.

    Of its last update there is the `norm`, the L2 norm of its parameters' changes; what it reported of its `loss`, and
    maybe of which `stratum` its data are; and what its turnaround was made of: `download_s`, `train_s` and `upload_s`
    (`cloud.averager.round.report_claims`).

    `ready` is what it said last of whether its conditions let it train, None if its component does not tell. Until
    there is a federation of this name, the record is deleted at `expires_at`.
    """

    federation: str
    thing: str
    turnaround_s: float | None = None
    missed: int = 0
    norm: float | None = None
    loss: float | None = None
    stratum: str | None = None
    download_s: float | None = None
    train_s: float | None = None
    upload_s: float | None = None
    last_seen: float | None = None
    component_version: str | None = None
    architecture: str | None = None
    memory_bytes: int | None = None
    cpu_count: int | None = None
    examples: int | None = None
    nucleus: str | None = None
    ready: bool | None = None
    last_round: int | None = None
    last_reason: str | None = None
    expires_at: float | None = None


class CohortMember(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client that a round waits for, with its history at selection time: so closing a round twice is harmless.

    `inclusion` is the probability with which it was selected, by whose inverse its update is weighed; None is 1.
    `assigned_in` is the older round whose assignment it still works on, since `assigned_at`; None if it is this one's.
    """

    thing: str
    turnaround_s: float | None = None
    missed: int = 0
    inclusion: float | None = None
    assigned_in: int | None = None
    assigned_at: float | None = None


class Carried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An update that an earlier `round` accepted and could not use; `age` is how many rounds it is late by, `inclusion`
    that of its client, as in a `CohortMember`."""

    thing: str
    round: int
    age: int
    inclusion: float | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """How many invocations average a round together, and how far they are.

    `stages` run in order: the first ones prepare what some rules need, the last writes the new model. Each has one job
    per shard of the model, "sums" one per shard and group of clients, numbered from 0, group by group in each shard.
    `stage` is the index of the present one, past the end when all is written; `done` are its finished jobs. `uploads`
    are the multipart uploads of the new model's files, by key.
    """

    stages: tuple[Stage, ...]
    shards: int
    groups: int = 1
    uploads: dict[str, str] = {}
    stage: int = 0
    done: tuple[int, ...] = ()

    @property
    def present(self) -> Stage | None:
        """The stage that is worked on, None when all is written."""
        return self.stages[self.stage] if self.stage < len(self.stages) else None

    @property
    def jobs(self) -> int:
        """How many jobs the present stage has."""
        return self.shards * (self.groups if self.present == "sums" else 1)

    @property
    def open_jobs(self) -> list[int]:
        """The jobs of the present stage that are not done."""
        return [job for job in range(self.jobs) if job not in self.done]


class RoundRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One round. Times are seconds since 1970-01-01 UTC. Its clients train, or if it `evaluates` they do no more than
    that, and its model is its base: an update is what they send in either case.

    The FIXED_FIELDS are written when the round opens and never change; they are an item of their own, so that what
    changes stays small however large the cohort is. The settings are the federation's as they were then: a round is
    carried through as it began. `revision` says how often they had been changed; `lacking` is what the base model has
    none of, with these settings. `learning_rate` is what their schedule makes of theirs for this round; None if it was
    opened by a version that had no schedules.

    `target` and `quorum` are numbers of accepted updates. `accepted`, `failed` (clients that failed or declined) and
    `refused` count what has come in; `version` counts the changes of state, `attempts` the leases taken. `vanished` are
    the clients that a round which ended at its deadline never heard of; `carry` says that its updates go into the next
    round. `work` is there when more than one invocation averages it.

    `expelled` are the things that the federation had expelled when the round opened, or has while it was open: nothing
    of them counts.

    `metrics` are means, or medians if the rule is robust, over the clients whose metric was a finite number;
    `not_finite` is how many had another one, by metric; `spreads` is how they differ between the clients. `warnings`
    say what is wrong with the new model, or with what it was made of (`cloud.state.round_warnings`).

    `best`, `stopped`, `average_s`, `spent_usd`, `round_usd` and `evaluation` are those of the federation: before the
    round while it goes on, and after it when it has ended.
    """

    federation: str
    round: int
    status: RoundStatus
    settings: Federation
    base: ModelReference
    schema: str
    cohort: tuple[CohortMember, ...]
    target: int
    quorum: int
    deadline: float
    opened_at: float
    life: str = ""
    learning_rate: float | None = None
    evaluates: bool = False
    carried: tuple[Carried, ...] = ()
    expelled: tuple[str, ...] = ()
    revision: int = 0
    lacking: tuple[ModelFile, ...] = ()
    version: int = 0
    extended: bool = False
    accepted: int = 0
    failed: int = 0
    refused: int = 0
    attempts: int = 0
    lease_owner: str | None = None
    lease_until: float | None = None
    notified_at: float | None = None
    averaging_at: float | None = None
    work: Work | None = None
    averaged_at: float | None = None
    closed_at: float | None = None
    model: ModelReference | None = None
    metrics: dict[str, float] | None = None
    spreads: dict[str, Spread] = {}
    not_finite: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    reason: str | None = None
    carry: bool = False
    next_at: float | None = None
    vanished: tuple[str, ...] = ()
    best: BestModel | None = None
    stopped: str = ""
    average_s: float | None = None
    spent_usd: float | None = None
    round_usd: float | None = None
    evaluation: ModelEvaluation | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it has a new model, or never will."""
        return self.status in ("closed", "aborted")


class RoundResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a round: the fields of its RoundRecord that tell, without those that are fixed."""

    round: int
    status: RoundStatus
    opened_at: float
    life: str = ""
    accepted: int = 0
    failed: int = 0
    refused: int = 0
    closed_at: float | None = None
    metrics: dict[str, float] | None = None
    spreads: dict[str, Spread] = {}
    not_finite: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    reason: str | None = None
    spent_usd: float | None = None


_KEYS = ("federation", "thing", "round", "response")

FIXED_FIELDS = (
    "settings",
    "revision",
    "base",
    "lacking",
    "schema",
    "learning_rate",
    "evaluates",
    "cohort",
    "target",
    "quorum",
    "carried",
)
"""The fields of a RoundRecord that never change."""

ITEM_BYTES = 400 << 10
"""DynamoDB takes no larger items."""


LATE = "late: "
"""So begins the reason why an update does not count that nothing is wrong with, but that its round was over."""


class ResponseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What came back from one client in one round: an update, accepted or refused, or an outcome, which says that none
    will come. Either may be early, and wait for a round. `life` is that of the round, `arrived_at` when S3 had the
    update, or when the outcome was heard. An update without a `key` is one of an earlier version, under
    `names.former_update_key`; its tensors begin at byte `data_start`."""

    thing: str
    state: ResponseState
    life: str = ""
    arrived_at: float
    inspected_at: float
    reason: str | None = None
    key: str | None = None
    version_id: str | None = None
    bytes: int | None = None
    data_start: int = 0
    norm: float | None = None
    integer_change: int | None = None
    report: Report | None = None

    @property
    def is_late(self) -> bool:
        """Whether all that is wrong with it is that its round was over."""
        return self.state == "refused" and (self.reason or "").startswith(LATE)


_Record = TypeVar("_Record", bound=msgspec.Struct)


def to_attribute(value: Any) -> dict[str, Any]:
    """One value as a DynamoDB attribute: S, N or BOOL, and JSON in an S for all that has an inner structure."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | float):
        return {"N": repr(value)}
    return {"S": value if isinstance(value, str) else msgspec.json.encode(value).decode()}


def to_item(record: msgspec.Struct, **key: str | int) -> Item:
    """A record as an item; None is no attribute. `key` adds attributes that the record itself doesn't have."""
    values = {field: getattr(record, field) for field in record.__struct_fields__} | key
    return {name: to_attribute(value) for name, value in values.items() if value is not None}


def _is_text(kind: Any) -> bool:
    """Whether a field's type is str, a Literal of them, or either with None: its attribute is the text itself."""
    if get_origin(kind) in (Union, UnionType):
        return any(_is_text(member) for member in get_args(kind))
    return kind is str or get_origin(kind) is Literal


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, "msgspec.json.Decoder[Any] | None"]:
    """What reads the JSON of each field of a record; None where an attribute is the text itself."""
    fields = msgspec.structs.fields(kind)
    return {field.name: None if _is_text(field.type) else msgspec.json.Decoder(field.type) for field in fields}


def _decode(text: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:  # another version wrote it: rare, and takes 20 times as long
        return known_fields(msgspec.json.decode(text), decoder.type)


def from_item(item: Mapping[str, Any], kind: type[_Record]) -> _Record:
    """The record that an item holds. What a newer version has added to it is left out, at any depth; what an older one
    did not have yet has its default.

    Raises:
        CorruptRecordError: it holds none; the text names the item and the attribute.
    """
    fields = _fields(kind)
    values: dict[str, Any] = {}
    try:
        for name, attribute in item.items():
            if name not in fields:
                continue
            (tag, value) = next(iter(attribute.items()))
            if tag == "N":
                values[name] = float(value) if "." in value or "e" in value.lower() else int(value)
            elif tag == "S" and (decoder := fields[name]) is not None:
                values[name] = _decode(value, decoder)
            else:
                values[name] = value
        return msgspec.convert(values, kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CorruptRecordError(f"{kind.__name__} in DynamoDB can't be read: {error}: {_named(item)}") from error


def _named(item: Mapping[str, Any]) -> str:
    """The key of an item of any of the four tables."""
    found = {name: item[name] for name in _KEYS if name in item}
    return ", ".join(f"{name} {next(iter(attribute.values()))!r}" for name, attribute in found.items())


def fixed_item(record: RoundRecord) -> Item:
    """The fixed fields of a round, as an item without its key."""
    return {name: to_attribute(getattr(record, name)) for name in (*FIXED_FIELDS, "opened_at", "life")}


def size_of(item: Item) -> int:
    """How many bytes of `ITEM_BYTES` an item takes at most: those of its attributes' names and values, where a number
    has 21 at most."""
    return sum(len(name.encode()) + (len(value["S"].encode()) if "S" in value else 21) for name, value in item.items())
