"""Trains clients together where they get the models that they get alone, and says why where they don't."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

from msgspec import structs
from torch import nn
from torch.utils.data import Subset, TensorDataset

from components.client.trainer.learning import default_training
from components.client.trainer.learning.classification import check
from components.client.trainer.learning.isolation import without_trace
from fedgrass.task import Data, Training
from simulation.vectorized.plans import Batches, Examples, Plan, examples_of, plan
from simulation.vectorized.program import Program, Start, Tensors, record, start_of
from simulation.vectorized.training import Trained, cross_entropy, decay_of, train

TOLERANCE = 1e-3
"""How far a model that was trained together with others may be from the one that was trained alone: the largest
difference of two numbers, as a share of the largest change of a number in training."""

STACK_BYTES = 4 << 20
"""How large the models are that are trained together, with a batch of each: they, their gradients and their momentum
are to stay in a processor's cache."""

MOST = 64
"""More are not trained faster together, however small their models are."""


class Client(NamedTuple):
    """Whom to train. `seed` is that of its training."""

    data: Data
    seed: int


class Apart(NamedTuple):
    """A client that has to be trained on its own."""

    reason: str


_KNOWN = frozenset(
    {
        "batch_size",
        "learning_rate",
        "momentum",
        "proximal",
        "weight_decay",
        "clip_norm",
        "logit_calibration",
        "epochs",
        "steps",
        "seed",
    }
)
"""The settings of training that are heeded here."""

_NOT_TRAINED = Apart("its loss is no finite number, or no target counts")

Outcome: TypeAlias = Trained | Apart
MakeNetwork: TypeAlias = Callable[[], nn.Module]
"""A model with the global model's numbers, ready to be trained."""


class Together:
    """Trains clients of one task together, as many groups of them at once as there are `workers`, which are threads.
    What has been found out of their models is kept for rounds to come."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._threads = ThreadPoolExecutor(workers, "vectorized")
        self._methods: dict[tuple[object, ...], _Method | Apart] = {}

    def train(
        self, make_network: MakeNetwork, clients: Sequence[Client], settings: Training
    ) -> Iterator[tuple[int, Outcome]]:
        """What becomes of each client, by its place among them, in any order."""
        if unknown := [field.name for field in structs.fields(settings) if _is_unknown(field, settings)]:
            yield from ((place, Apart(f"training.{unknown[0]} is set")) for place in range(len(clients)))
            return
        start = start_of(make_network())
        kinds: dict[tuple[object, ...], dict[int, Plan]] = {}
        for place, (data, seed) in enumerate(clients):
            examples = examples_of(data.train)
            if examples is None:
                yield place, Apart("its training set is no TensorDataset of inputs and targets, nor a Subset of one")
            else:
                planned = plan(examples, structs.replace(settings, seed=seed))
                kinds.setdefault(examples.kind, {})[place] = planned
        groups = []
        for plans in kinds.values():
            for places in self._groups(start, plans, settings):
                members = [plans[place] for place in places]
                method = self._method(make_network, start, members, settings)
                if isinstance(method, Apart):
                    yield from ((place, method) for place in places)
                else:
                    groups.append((places, members, method))
        # Only now, as recording a program is not for several threads.
        waiting = [
            (places, self._threads.submit(method.train, start, members, settings)) for places, members, method in groups
        ]
        for places, outcomes in waiting:
            yield from zip(places, outcomes.result(), strict=True)

    def close(self) -> None:
        """Ends its threads."""
        self._threads.shutdown(cancel_futures=True)

    def _groups(self, start: Start, plans: dict[int, Plan], settings: Training) -> Iterator[list[int]]:
        """Those with about as many steps together, in groups of nearly one size."""
        places = sorted(plans, key=lambda place: (len(plans[place].steps), len(plans[place].examples.indices)))
        inputs = plans[places[0]].examples.inputs
        batch_bytes = settings.batch_size * inputs[:1].nbytes
        model_bytes = sum(value.nbytes for value in (start.parameters | start.buffers).values())
        most = min(max(STACK_BYTES // (model_bytes + batch_bytes), 1), MOST)
        groups = math.ceil(math.ceil(len(places) / most) / self._workers) * self._workers
        groups = min(groups, len(places))
        bounds = [len(places) * number // groups for number in range(groups + 1)]
        for first, end in itertools.pairwise(bounds):
            yield places[first:end]

    def _method(
        self, make_network: MakeNetwork, start: Start, plans: Sequence[Plan], settings: Training
    ) -> "_Method | Apart":
        size = max(len(step) for one in plans for step in one.steps[:1])
        shapes = tuple((name, value.shape, value.dtype) for name, value in start.parameters.items())
        are_whole = all(len(step) == size for one in plans for step in one.steps)
        is_calibrated = settings.logit_calibration > 0
        key = (shapes, plans[0].examples.kind, len(plans), size, are_whole, decay_of(settings), is_calibrated)
        if key not in self._methods:
            found = _find_method(make_network, start, plans, settings, size)
            if found is None:
                return _NOT_TRAINED
            self._methods[key] = found
        return self._methods[key]


class _Method(NamedTuple):
    program: Program
    size: int
    classes: int

    def train(self, start: Start, plans: Sequence[Plan], settings: Training) -> list[Outcome]:
        try:
            trained = train(self.program, start, plans, settings, self.size, self.classes)
        except (RuntimeError, IndexError) as error:
            return [Apart(_first_line(error))] * len(plans)
        return [_NOT_TRAINED if one is None else one for one in trained]


def _find_method(
    make_network: MakeNetwork, start: Start, plans: Sequence[Plan], settings: Training, size: int
) -> "_Method | Apart | None":
    """None if these clients' data do not tell."""
    try:
        classes = _classes(make_network(), plans[0].examples)
        batches = Batches(plans, size, classes, settings.logit_calibration)
        inputs, shares, _ = batches.at(0)
        network = make_network()
        network.train()
        examples = [inputs, shares, batches.margins]
        program = record(network, cross_entropy, start.stack(len(plans)), examples, decay_of(settings))
        method = _Method(program, size, classes)
        away = _largest_deviation(method, make_network, start, plans, settings)
    except (
        Exception
    ) as error:  # a user's model can raise anything; what it raises alone is told when it is trained alone
        return Apart(f"its model cannot be trained together with others: {_first_line(error)}")
    if away < 0:
        return None
    if not away <= TOLERANCE:
        return Apart(
            f"trained together with others its model gets other numbers than alone, {away:.1g} of the largest "
            f"change away, and {TOLERANCE:g} are allowed: does it normalize over batches, or do other than in the step "
            "before?"
        )
    return method


def _is_unknown(field: structs.FieldInfo, settings: Training) -> bool:
    """Whether a setting asks for something else than what is done here."""
    return field.name not in _KNOWN and getattr(settings, field.name) != field.default


def _classes(network: nn.Module, examples: Examples) -> int:
    """How many classes a model tells apart.

    Raises:
        TypeError: the outputs and targets are not those of a classifier.
    """
    first = examples.indices[:1]
    with without_trace(network):
        outputs = network(examples.inputs[first])
    check(outputs, examples.targets[first])
    return int(outputs.shape[1])


def _largest_deviation(
    method: _Method, make_network: MakeNetwork, start: Start, plans: Sequence[Plan], settings: Training
) -> float:
    """How far clients' models are from those of the default training, after a first batch and one as large as the last
    one of an epoch: see TOLERANCE. Minus infinity if no client has been trained."""
    short = structs.replace(settings, epochs=1, steps=None)
    some = [_shortened(one.examples, settings.batch_size) for one in plans]
    outcomes = method.train(start, [plan(examples, short) for examples in some], short)
    found = -math.inf
    for examples, outcome in zip(some, outcomes, strict=True):
        if isinstance(outcome, Apart):
            continue
        network = make_network()
        whole = TensorDataset(examples.inputs, examples.targets)
        default_training.train(network, Data(train=Subset(whole, examples.indices.tolist())), short)
        found = max(found, deviation(start, outcome.values, start_of(network)))
    return found


def deviation(before: Start, one: Tensors, other: Start) -> float:
    """How far the numbers of a model after training are from those of another training: see TOLERANCE."""
    difference = change = 0.0
    for name, value in (other.parameters | other.buffers).items():
        if value.numel():
            difference = max(difference, float((one[name].double() - value.double()).abs().max()))
            change = max(
                change, float((value.double() - (before.parameters | before.buffers)[name].double()).abs().max())
            )
    return difference / change if change else difference


def _shortened(examples: Examples, size: int) -> Examples:
    number = len(examples.indices)
    return examples._replace(indices=examples.indices[: size + (number % size or size)])


def _first_line(error: Exception) -> str:
    if "called random operation" in str(error):
        return "it draws random numbers, as dropout does"
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
