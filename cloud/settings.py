"""A federation's settings, as federation.yaml gives them and the federations table keeps them."""

import math
import re
from typing import Annotated, Literal

import msgspec

from protocol.messages import Encoding, LearningRate, Positive, Training
from protocol.names import MAX_ROUND

Amount = Positive | str
"""A number of clients, or a share such as "80%"."""

DEFAULT_QUORUM = "50%"

_SHARE = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?%")

MAX_WAIT_S = 366 * 86_400
"""The longest time that a setting may name: a year."""

MAX_STALENESS = 100
"""More rounds than this no update may be late by: each is looked through for a response when one comes late."""

MAX_COHORT = 1500
"""A round has no more clients: what it has to know of them is in one item of DynamoDB, and so many fit, however long
their names are."""


FORMER_NAMES = {"own": "custom"}
"""Choices that an earlier version called otherwise: records may still have these names, and users may remember them."""


class InvalidSettingsError(ValueError):
    """A federation's settings that can't be used; the text names the field, its value and what it may be."""


class _Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag=str.lower):
    """One of several kinds of settings, which are told apart by their `name`."""

    @property
    def name(self) -> str:
        """As federation.yaml has it: the class's, in small letters."""
        return str(self.__struct_config__.tag)


class _Schedule(_Named, frozen=True, kw_only=True):
    """What all schedules have in common: in the first `warmup_rounds` the learning rate rises by equal steps, and is
    all there in the round after them, from which on the schedule counts."""

    warmup_rounds: Annotated[int, msgspec.Meta(ge=0, le=MAX_ROUND)] = 0

    @property
    def final(self) -> float:
        """What the learning rate never falls below."""
        return 0.0


Factor = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Constant(_Schedule, frozen=True):
    """The same in each round."""


class Step(_Schedule, frozen=True):
    """After each `every_rounds`, `factor` times what it was, as torch's StepLR."""

    every_rounds: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROUND)]
    factor: Factor = 0.1


class Exponential(_Schedule, frozen=True):
    """After each round, `factor` times what it was, as torch's ExponentialLR."""

    factor: Factor


class Cosine(_Schedule, frozen=True):
    """Along half a wave, which would come to `final_learning_rate` in the round after the last one, as torch's
    CosineAnnealingLR (Loshchilov and Hutter, 2017, eq. 5)."""

    final_learning_rate: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0

    @property
    def final(self) -> float:
        """See there."""
        return self.final_learning_rate


Schedule = Constant | Step | Exponential | Cosine
"""How the learning rate changes from round to round: told apart by `name`."""


class LocalTraining(Training, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How clients train. A round's cohort is told the learning rate that `schedule` makes of it for that round."""

    schedule: Schedule = Constant()


SelectionPolicyName = Literal[
    "balanced", "all", "random", "fastest", "oort", "tiers", "stratified", "probabilistic", "custom"
]


class Selection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who takes part in a round.

    With a `dropout` (the share of clients expected not to answer), more are selected than `cohort` asks for: cohort /
    (1 - dropout), but never more than MAX_COHORT. `smoothing` is the weight of the past in the moving average of
    turnarounds (EWMA); `minimum` is how many clients there must be before a round opens.
    """

    policy: SelectionPolicyName = "balanced"
    cohort: Amount = "100%"
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    minimum: Positive = 1
    smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.8
    seed: int = 0


class _Optimizer(_Named, frozen=True, kw_only=True):
    """What all server optimizers have in common: a name, and the server's learning rate, eta."""

    learning_rate: LearningRate = 1.0


class FedAvg(_Optimizer, frozen=True):
    """The averaged difference is added to the model (McMahan et al., 2017), `learning_rate` times."""


class FedAvgM(_Optimizer, frozen=True):
    """Averaged differences gather momentum `beta` (Hsu et al., 2019, section 4.3)."""

    beta: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9


class _Adaptive(_Optimizer, frozen=True):
    """A step for each coordinate (Reddi et al., 2021, algorithm 2): `beta1` is the momentum's, `tau` the adaptivity."""

    learning_rate: LearningRate = 0.01
    beta1: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9
    tau: Annotated[float, msgspec.Meta(gt=0)] = 1e-3


class FedAdagrad(_Adaptive, frozen=True):
    """Steps shrink by the sum of squares."""


class FedAdam(_Adaptive, frozen=True):
    """Steps shrink by the moving average of squares, of decay `beta2`."""

    beta2: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.99


class FedYogi(_Adaptive, frozen=True):
    """As FedAdam, but the average moves by no more than the square itself."""

    beta2: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.99


ServerOptimizer = FedAvg | FedAvgM | FedAdagrad | FedAdam | FedYogi
"""How an averaged difference changes the model: told apart by `name`."""

RuleName = Literal["mean", "weighted", "median", "trimmed_mean", "krum", "multi_krum", "custom"]


class Averaging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How updates become one: `mean`; `weighted` by examples; coordinate-wise `median` or `trimmed_mean`, which leaves
    out the share `trim` at each end; `krum`, the update that is nearest to the others, or `multi_krum`, the mean of the
    nearest ones, for `byzantine` clients that may send anything; or `custom` (average in policies.py).

    Under `weighted` no client counts for more than `max_examples`; None is ten times the median of the round's clients.
    Before that, with `normalize_steps` parameters are scaled to the steps that the median client took (FedNova), unless
    the rule takes no one's word on it; and updates whose L2 norm is over `clip_norm` are scaled down to it. After it,
    the server `optimizer` takes a step with the change. `ema` is the decay of a moving average of the global models,
    which is kept beside them; 0 is none.

    With `variance_reduction` clients whom a round does not have are stood in for by the updates that they sent last
    (FedVARP). Only rules that are means do that.

    With `carry_over` the updates of a round that was aborted below its quorum count in the next one, at a weight of
    1 / sqrt(age + 1), where age is the number of rounds that they are late by. They don't count toward its quorum.

    `shards` is by how many invocations a model is averaged at once, as far as it has so many parts; None leaves it to
    the sizes of model and cohort.
    """

    rule: RuleName = "weighted"
    trim: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = 0.1
    byzantine: Annotated[int, msgspec.Meta(ge=0)] = 1
    clip_norm: Annotated[float, msgspec.Meta(gt=0)] | None = None
    normalize_steps: bool = False
    max_examples: Positive | None = None
    variance_reduction: bool = False
    optimizer: ServerOptimizer = FedAvg()
    ema: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    carry_over: bool = False
    shards: Positive | None = None


Download = Literal["model", "bfloat16"]
"""What devices download: the model, or a copy of it whose float32 numbers are bfloat16."""


PacingPolicyName = Literal["at_once", "fixed_rate", "adaptive", "cron", "when_ready", "custom"]


class Pacing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the next round opens: `at_once`; `fixed_rate`, `interval_s` after the last one opened; `adaptive`, as long
    after that as rounds have taken on average; `cron`, at the next of `times`, which are written as cron has them, in
    UTC; `when_ready`, as soon as so many of all clients have said that they are `ready`, but not later than `wait_s`
    after the last one ended; or `custom` (next_round_delay in policies.py)."""

    policy: PacingPolicyName = "at_once"
    interval_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_S)] = 0.0
    times: str | None = None
    ready: Amount | None = None
    wait_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_WAIT_S)] = 86_400.0

    def is_enough(self, ready: int, clients: int) -> bool:
        """Whether the next round need not wait any longer, if so many of the clients are ready."""
        return self.ready is not None and 0 < amount_of(self.ready, clients) <= ready


class Stop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When no round follows one that has ended, though there are `rounds` to go: when `metric`, which clients measure
    of the global model, is as good as `at`, or has not been better for `patience` rounds; or when another round like
    the last one would cost more in AWS, with those before, than `budget_usd`. The model by which the metric was best is
    noted in any case."""

    metric: Annotated[str, msgspec.Meta(min_length=1, max_length=56)] | None = None
    at: float | None = None
    patience: Positive | None = None
    budget_usd: Annotated[float, msgspec.Meta(gt=0)] | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rounds in which nobody trains: each round whose number is a multiple of `every_rounds` has a `cohort`, drawn at
    random, evaluate the model instead, and the moving average if one is kept. None is no such round."""

    every_rounds: Annotated[int, msgspec.Meta(ge=2, le=MAX_ROUND)] | None = None
    cohort: Amount = "100%"

    def is_due(self, round_number: int) -> bool:
        """Whether a round evaluates."""
        return self.every_rounds is not None and round_number % self.every_rounds == 0


CompletionName = Literal["target", "custom"]


PresetName = Literal["iid", "label-skew"]


class Federation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that federation.yaml may say. A `preset` has given fields their values that the file left out: it says no
    more than that. `task`, `initial_model` and policies.py are paths beside that file.

    A round ends when `target` updates were accepted (or is_complete in policies.py says so, with completion `custom`),
    or at its deadline with at least `quorum`; below that it is extended once, by `extension_s`, and then aborted.
    Target and quorum are numbers of clients, or shares of the cohort asked for (without what `dropout` adds).

    With a `max_staleness` the federation is asynchronous, as FedBuff is (Nguyen et al., 2022): a client that has not
    answered when its round ends trains on, and its update counts in the round that is open when it comes, up to so
    many rounds later, at a weight of 1 / sqrt(age + 1). `target` is then the size of the buffer, and selection.cohort
    how many clients train at a time, these included. What an aborted round had is carried over.
    """

    name: str
    training: LocalTraining
    preset: PresetName | None = None
    thing_group: str | None = None
    task: str = "."
    initial_model: str | None = None
    rounds: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROUND)] = 10
    selection: Selection = Selection()
    completion: CompletionName = "target"
    target: Amount = "100%"
    quorum: Amount = DEFAULT_QUORUM
    deadline_s: Annotated[float, msgspec.Meta(ge=1, le=MAX_WAIT_S)] = 600.0
    extension_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_S)] = 60.0
    max_staleness: Annotated[int, msgspec.Meta(ge=0, le=MAX_STALENESS)] = 0
    averaging: Averaging = Averaging()
    encoding: Encoding = "float32"
    download: Download = "model"
    pacing: Pacing = Pacing()
    stop: Stop = Stop()
    evaluation: Evaluation = Evaluation()

    def selection_in(self, round_number: int) -> Selection:
        """Who takes part in a round."""
        if not self.evaluation.is_due(round_number):
            return self.selection
        own = self.selection
        return Selection(policy="random", cohort=self.evaluation.cohort, minimum=own.minimum, seed=own.seed)

    @property
    def has_bfloat16_copy(self) -> bool:
        """Whether devices download a bfloat16 copy of the model."""
        return self.download == "bfloat16"

    @property
    def carries_over(self) -> bool:
        """Whether updates of a round that was aborted below its quorum count in the next one."""
        return self.averaging.carry_over or self.max_staleness > 0

    @property
    def training_s(self) -> float:
        """How long a client may take from its assignment to its update, until no round can want it any more."""
        round_s = self.deadline_s + self.extension_s
        waits_s = 0.0 if self.pacing.ready is None else self.pacing.wait_s
        return round_s + self.max_staleness * (max(round_s, self.pacing.interval_s) + waits_s)

    @property
    def custom_functions(self) -> list[str]:
        """Names of the functions that policies.py must have."""
        choices = {
            "choose_clients": self.selection.policy,
            "is_complete": self.completion,
            "average": self.averaging.rule,
            "next_round_delay": self.pacing.policy,
        }
        return [name for name, choice in choices.items() if choice == "custom"]


def cohort_of(selection: Selection, clients: int) -> int:
    """How many of so many clients are selected for a round, with as many more as are expected to drop out."""
    wanted = amount_of(selection.cohort, clients)
    return min(clients, math.ceil(wanted / (1 - selection.dropout) - 1e-9), MAX_COHORT)


def amount_of(amount: Amount, whole: int) -> int:
    """How many of `whole` clients an amount is: shares round up; at least 1, at most `whole`."""
    if isinstance(amount, str):
        return min(whole, max(1, math.ceil(share_of(amount) * whole - 1e-9)))
    return min(whole, amount)


def share_of(amount: str) -> float:
    """What a text such as "80%" is of a whole.

    Raises:
        InvalidSettingsError: it is no such text.
    """
    number = _SHARE.fullmatch(amount)
    share = float(number[1]) / 100 if number else 0.0
    if not 0 < share <= 1:
        raise InvalidSettingsError(f"{amount!r} is neither a number of clients nor a share like 80%")
    return share
