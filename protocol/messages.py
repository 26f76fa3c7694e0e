"""Every message that passes between devices and the cloud, as JSON, each with its version `v`.

A message of an unknown version is refused before its fields are read; unknown fields of a known version are
ignored, so that a newer side may add some.
"""

from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec

from protocol import names

VERSION = 1

EVALUATING = 3
"""The version of assignments from which on they may ask for an evaluation, and for calibrated logits."""

MAX_MESSAGE_BYTES = 4096
"""Greengrass nucleus lite silently drops larger MQTT messages on their way to a component."""

MAX_REPORT_BYTES = 65_536
"""How long a `Report` may be: the cloud keeps it in a DynamoDB item, and writes a batch of them in one transaction."""

MAX_INTEGER = 2**53
"""Up to here every integer is a float64 as well: other readers of JSON, and sums of weights, keep it exactly."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""What torch's generators take."""

LearningRate = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Label = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,64}\Z")]
"""A short text of printable ASCII."""

MEASURED = ("before", "after", "average")
"""So the names of a round's metrics end: of the global model, of local ones, of the global models' moving average."""

Numbers = dict[str, float | None]
"""What a task measures, by name; None is a number that is not finite."""

Life = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{8})?\Z")]
"""Tells a federation from those that had its name before; "" if it is older than lives, as a missing one is."""

Encoding = Literal["float32", "bfloat16", "int8"]
"""How the float coordinates of an update travel: see `protocol.encodings`."""

Phase = Literal["accepted", "training", "uploading", "done", "declined", "failed"]
RoundStatus = Literal["open", "averaging", "closed", "aborted"]

FINAL_PHASES: frozenset[Phase] = frozenset({"done", "declined", "failed"})


class InvalidMessageError(ValueError):
    """Bytes that are not the message they should be."""


class UnsupportedVersionError(InvalidMessageError):
    """A message of a protocol version that this side does not speak."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What all messages have in common. `SPOKEN` are the versions of one that this side understands."""

    SPOKEN: ClassVar[tuple[int, ...]] = (VERSION,)

    v: int = VERSION


class ModelReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A global model in S3; `copy` is its bfloat16 copy, which devices download in its place, if there is one;
    `average` is the moving average of the models up to it, if one is kept."""

    key: str
    sha256: Sha256
    bytes: Positive
    copy: "ModelReference | None" = None
    average: "ModelReference | None" = None

    @property
    def downloaded(self) -> "ModelReference":
        """What devices download."""
        return self.copy or msgspec.structs.replace(self, average=None)


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """How to train locally: for whole epochs, or for a number of optimizer steps.

    `proximal` is FedProx's mu (Li et al., 2020, eq. 2); `weight_decay` that of an L2 penalty, as torch.optim.SGD has
    it; gradients of a larger L2 norm than `clip_norm`, over all parameters, are scaled down to it; `logit_calibration`
    is FedLC's tau (Zhang et al., ICML 2022), of a classifier's loss; `seed` makes local training deterministic.
    """

    batch_size: Positive
    learning_rate: LearningRate
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    proximal: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    clip_norm: Annotated[float, msgspec.Meta(gt=0)] | None = None
    logit_calibration: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    epochs: Positive | None = None
    steps: Positive | None = None
    seed: Seed = 0


class Average(msgspec.Struct, frozen=True, kw_only=True):
    """The moving average of the global models up to one. Its key follows from that model's: a shadow has no room for
    both."""

    sha256: Sha256
    bytes: Positive


class Evaluate(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for an evaluation of the model, and of the moving `average` if there is one, instead of training."""

    average: Average | None = None


class Assignment(Message, frozen=True, kw_only=True):
    """What one client is asked to do in one round: `desired.assignment` of its shadow. It trains, or it evaluates if
    there is `evaluate`.

    `deadline` and all other times in messages are seconds since 1970-01-01 UTC. `v` is what `assignment_version` says:
    a component that would not heed all that is asked refuses it, instead of doing something else.
    """

    SPOKEN: ClassVar[tuple[int, ...]] = (VERSION, 2, EVALUATING)

    round: Positive
    life: Life = ""
    model: ModelReference
    training: Training
    # None has to travel: in a shadow it removes what an earlier round had there.
    evaluate: Evaluate | None = None
    encoding: Encoding = "float32"
    deadline: float

    @property
    def average(self) -> ModelReference | None:
        """The moving average that is to be evaluated, if one is."""
        average = None if self.evaluate is None else self.evaluate.average
        if average is None:
            return None
        return ModelReference(key=names.average_beside(self.model.key), sha256=average.sha256, bytes=average.bytes)

    @property
    def download_bytes(self) -> int:
        """How much the client downloads."""
        return self.model.bytes + (0 if self.average is None else self.average.bytes)


def assignment_version(training: Training, evaluate: Evaluate | None = None) -> int:
    """The first version of assignments whose readers heed all that is asked for."""
    if evaluate is not None or training.logit_calibration:
        return EVALUATING
    return 2 if training.weight_decay or training.clip_norm is not None else VERSION


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a client is with its assignment: `reported.progress` of its shadow."""

    round: Positive
    life: Life = ""
    phase: Phase
    reason: str | None = None
    epoch: Count | None = None
    epochs: Count | None = None
    step: Count | None = None
    at: float | None = None


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """The cloud's half of a client's shadow. Assignments of the life `withdrawn_life`, of rounds up to `withdrawn`, are
    not wanted any more."""

    assignment: Assignment | None = None
    withdrawn: Count | None = None
    withdrawn_life: Life | None = None


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """The client's half of its shadow: it mirrors what it has seen, and tells how far it is."""

    assignment: dict[str, Any] | None = None
    withdrawn: Count | None = None
    withdrawn_life: str | None = None
    progress: Progress | None = None


class RoundCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many clients were selected, how many updates counted, how many clients failed or declined, how many updates
    were refused."""

    cohort: Count = 0
    accepted: Count = 0
    failed: Count = 0
    refused: Count = 0


class RoundNotice(Message, frozen=True, kw_only=True):
    """The state of a round, for dashboards: published, retained, on `names.round_topic`. `metrics` are means, or
    medians, over the clients whose metric was finite, `not_finite` counts the others; `warnings` are of the new model
    and of what it was made of."""

    federation: str
    life: Life = ""
    round: Positive
    state: RoundStatus
    model: ModelReference | None = None
    counts: RoundCounts = RoundCounts()
    metrics: dict[str, float] = {}
    not_finite: dict[str, Count] = {}
    warnings: list[str] = []
    reason: str | None = None
    at: float


class Hello(Message, frozen=True, kw_only=True):
    """A client says that it is there: published on `names.hello_topic` when the agent starts, its data changes, or
    whether it is `ready` does: whether the conditions of its configuration let it train.

    `nucleus` is which Greengrass nucleus runs the component, and its version, such as "classic 2.14.3". Components of
    earlier versions tell neither.
    """

    component_version: str
    architecture: str
    memory_bytes: Count
    cpu_count: Count
    examples: Count | None = None
    nucleus: Label | None = None
    ready: bool | None = None


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """When a client was where, by its own clock, and how long local training alone took."""

    accepted_at: float
    downloaded_at: float
    trained_at: float
    uploading_at: float
    train_s: Seconds


class Report(Message, frozen=True, kw_only=True):
    """What a client says of its update; it travels in the header of the update's safetensors file.

    `base` is the SHA-256 of the global model that it trained from, or evaluated: then there were no `steps`. `before`,
    `after` and `average` are metrics on the client's own hold-out data, of the global model, of the locally trained
    one and of the global models' moving average; `describe` is the task's own numbers. One that is not finite, which
    JSON can't carry, is None.
    """

    federation: str
    life: Life = ""
    round: Positive
    thing: str
    base: Sha256
    encoding: Encoding
    examples: Positive
    steps: Count
    before: Numbers = {}
    after: Numbers = {}
    average: Numbers = {}
    describe: Numbers = {}
    timings: Timings

    @property
    def measured(self) -> dict[str, Numbers]:
        """The metrics by the model that they are of, as in MEASURED."""
        return {when: getattr(self, when) for when in MEASURED}


class ModelHeader(Message, frozen=True, kw_only=True):
    """What a global model says of itself, in the header of its safetensors file.

    `buffers` names the floating-point tensors that are no parameters (batch-norm statistics): they are averaged,
    and never touched by a server optimizer.
    """

    federation: str
    round: Count
    buffers: tuple[str, ...] = ()


class OpenRound(Message, frozen=True, kw_only=True):
    """Asks the initiator to open round `round`; it waits until `not_before` if that is still to come."""

    kind: Literal["open-round"] = "open-round"
    federation: str
    life: Life = ""
    round: Positive
    not_before: float = 0.0


class CheckRound(Message, frozen=True, kw_only=True):
    """Tells the averager, by a delayed message, to look at a round at a time: a deadline or a lease ends then."""

    kind: Literal["check-round"] = "check-round"
    federation: str
    life: Life = ""
    round: Positive
    at: float


class AverageShard(Message, frozen=True, kw_only=True):
    """Asks the averager for one job of a round that several invocations average: the `job`-th of the `stage`-th stage
    of its work."""

    kind: Literal["average-shard"] = "average-shard"
    federation: str
    life: Life = ""
    round: Positive
    stage: Count
    job: Count


class AbortRound(Message, frozen=True, kw_only=True):
    """Tells the averager that an operator ends a round."""

    kind: Literal["abort-round"] = "abort-round"
    federation: str
    life: Life = ""
    round: Positive
    reason: str


class ExpelClient(Message, frozen=True, kw_only=True):
    """Tells the averager that an operator has expelled a thing: nothing of it counts in a round that is open."""

    kind: Literal["expel-client"] = "expel-client"
    federation: str
    life: Life = ""
    round: Positive
    thing: str


class Outcome(Message, frozen=True, kw_only=True):
    """A client says that no update of it will come: what a topic rule makes of `reported.progress`. `heard_at` is there
    when the averager has put it off."""

    kind: Literal["outcome"] = "outcome"
    thing: str
    shadow: str
    life: Life = ""
    round: Positive
    phase: Literal["declined", "failed"]
    reason: str | None = None
    heard_at: float | None = None


class _Versioned(msgspec.Struct):
    v: int


_Kind = TypeVar("_Kind", bound=Message)


def encode(message: msgspec.Struct) -> bytes:
    """The message as JSON bytes."""
    return msgspec.json.encode(message)


def decode(data: bytes | str, kind: type[_Kind]) -> _Kind:
    """The message that these JSON bytes hold.

    Raises:
        UnsupportedVersionError: its version is none that this side speaks.
        InvalidMessageError: it is no JSON object, or a field is missing or has a wrong value; the text names it.
    """
    try:
        version = msgspec.json.decode(data, type=_Versioned).v
        if version in kind.SPOKEN:
            return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidMessageError(f"not a valid {kind.__name__}: {error}") from error
    raise UnsupportedVersionError(
        f"{kind.__name__} has version {version}; this side speaks version {' and '.join(map(str, kind.SPOKEN))}: "
        "update the older side"
    )


def convert(value: Any, kind: type[_Kind]) -> _Kind:
    """As `decode`, from JSON that is already parsed."""
    return decode(msgspec.json.encode(value), kind)
