"""cloud/averaging/last_updates.py: FedVARP, against plain float64."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import pytest

from cloud.averaging.last_updates import KEPT_S, LastUpdate, LastUpdates
from cloud.averaging.sums import GROUP
from cloud.settings import Averaging, FedAdam, FedAvg, FedAvgM, ServerOptimizer
from protocol.messages import Encoding
from protocol.tensors import load
from simulation.averaging import Round, accepted
from tests.cloud.averaged import TRAINING, ShardedRound
from tests.cloud.averaging.test_averaging import ENCODINGS, flat, mixed_model, model, update_to
from tests.cloud.examples import report, update_of

SHAPE = (17, 5)
Values = Any


class Rounds:
    """Rounds of one federation, one after the other."""

    def __init__(self, base: bytes, settings: Averaging, **options: Any) -> None:
        self.files: Mapping[Any, bytes] = {"model": base}
        self.last: LastUpdates | None = None
        self._settings = settings
        self.options = options
        self._sent: dict[str, bytes] = {}

    def prepared(self, updates: Mapping[str, bytes], inclusions: Mapping[str, float] = {}) -> ShardedRound:
        """The next round, with these updates by client."""
        number = len(self._sent)
        found = []
        for source, data in accepted(updates.values()):
            key = f"{number}/{source.thing}"
            self._sent[key] = updates[source.thing]
            stored = msgspec.structs.replace(source.stored, key=key)
            inclusion = inclusions.get(source.thing, 1.0)
            found.append((msgspec.structs.replace(source, stored=stored, inclusion=inclusion), data))
        return ShardedRound(
            self.files["model"],
            found,
            self._settings,
            TRAINING,
            before={file: data for file, data in self.files.items() if file != "model"},
            last=self.last,
            last_files=self._sent,
            **self.options,
        )

    def have(self, updates: Mapping[str, bytes], inclusions: Mapping[str, float] = {}) -> Values:
        """Carry a round through; returns the tensor w of its model, if there is one."""
        a_round = self.prepared(updates, inclusions)
        self.files = a_round.average()
        assert a_round.recalled is not None
        self.last = a_round.recalled.after
        return load(self.files["model"])[1].get("w")


class Paper:
    """Algorithm 2, with the mean of the clients that sent something for those that never did."""

    def __init__(self) -> None:
        self.y: dict[str, Values] = {}
        self.p: dict[str, float] = {}

    def change(self, new: Mapping[str, Values], counts: Mapping[str, float], inclusions: Mapping[str, float]) -> Values:
        mean = sum(self.p[thing] * y for thing, y in self.y.items()) / sum(self.p.values()) if self.y else 0.0
        weights = [counts[thing] / inclusions[thing] for thing in new]
        differences = [delta - self.y.get(thing, mean) for thing, delta in new.items()]
        self.y.update(new)
        self.p.update(counts)
        return mean + np.average(differences, axis=0, weights=weights)


def update(delta: Values, thing: str, **changes: Any) -> bytes:
    return update_of({"w": delta}, report(thing, **changes))


def zeros() -> bytes:
    return model({"w": np.zeros(SHAPE, "<f4")}, {"w": "F32"})


@pytest.mark.parametrize("rule", ["mean", "weighted"])
@pytest.mark.parametrize("optimizer", [FedAvg(), FedAvgM(learning_rate=0.5, beta=0.9)])
def test_rounds_of_some_of_the_clients_are_those_of_the_paper(
    rule: Literal["mean", "weighted"], optimizer: ServerOptimizer
) -> None:
    generator = np.random.default_rng(1)
    rounds = Rounds(zeros(), Averaging(rule=rule, optimizer=optimizer, variance_reduction=True), elements=7)
    paper, expected, momentum = Paper(), np.zeros(SHAPE), np.zeros(SHAPE)
    examples = {f"t{number}": 10 + 5 * number for number in range(9)}
    for _ in range(12):
        chosen = [f"t{number}" for number in sorted(generator.choice(9, 3, replace=False))]
        new = {thing: generator.normal(size=SHAPE).astype("<f4") for thing in chosen}
        inclusions = {thing: float(generator.uniform(0.2, 0.9)) for thing in chosen}
        counts = {thing: float(examples[thing] if rule == "weighted" else 1) for thing in chosen}
        change = paper.change({thing: delta.astype(np.float64) for thing, delta in new.items()}, counts, inclusions)
        if isinstance(optimizer, FedAvgM):
            momentum = optimizer.beta * momentum + change
            change = optimizer.learning_rate * momentum
        expected = expected + change
        updates = {thing: update(delta, thing, examples=examples[thing]) for thing, delta in new.items()}
        found = rounds.have(updates, inclusions)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)
    assert rounds.last is not None
    assert rounds.last.of.keys() == examples.keys()


def test_the_expected_change_is_the_mean_of_all_clients_whoever_was_seen_before() -> None:
    generator = np.random.default_rng(2)
    things = ["a", "b", "c", "d", "e"]
    settings = Averaging(rule="mean", variance_reduction=True)
    now = {thing: generator.normal(size=SHAPE).astype("<f4") for thing in things}
    for seen in ([], ["b"], ["a", "c", "e"], things):
        changes = []
        for chosen in itertools.combinations(things, 2):
            rounds = Rounds(zeros(), settings)
            before = np.zeros(SHAPE)
            if seen:
                before = rounds.have({thing: update(now[thing] + 1, thing) for thing in seen})
            changes.append(rounds.have({thing: update(now[thing], thing) for thing in chosen}) - before)
        np.testing.assert_allclose(np.mean(changes, axis=0), np.mean(list(now.values()), axis=0), atol=1e-5)


def test_a_round_of_all_clients_is_their_mean() -> None:
    rounds = Rounds(zeros(), Averaging(rule="mean", variance_reduction=True))
    before = np.zeros(SHAPE)
    for seed in range(3):
        generator = np.random.default_rng(seed)
        new = {f"t{number}": generator.normal(size=SHAPE).astype("<f4") for number in range(4)}
        found = rounds.have({thing: update(delta, thing) for thing, delta in new.items()})
        np.testing.assert_allclose(found - before, np.mean(list(new.values()), axis=0), atol=1e-6)
        before = found


def test_updates_count_as_they_were_scaled_in_their_round() -> None:
    rounds = Rounds(zeros(), Averaging(rule="mean", variance_reduction=True, clip_norm=0.5))
    large = np.full(SHAPE, 8.0, "<f4")
    first = rounds.have({"a": update(large, "a")})  # tests say that each norm is 1
    np.testing.assert_allclose(first, 4.0)
    second = rounds.have({"b": update(large / 2, "b")})
    np.testing.assert_allclose(second, 4.0 + 2.0)
    third = rounds.have({"a": update(large / 4, "a")})
    np.testing.assert_allclose(third, 6.0 + 3.0 + 1.0 - 4.0)  # their mean, and by what a's differs from its last one


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("shards", "summed", "elements"), [(3, False, 1000), (1, True, 1000), (5, True, 41)])
def test_neither_shards_nor_groups_nor_blocks_change_a_bit(
    encoding: Encoding, shards: int, summed: bool, elements: int
) -> None:
    clients = GROUP + 9
    rounds = Rounds(
        mixed_model(),
        Averaging(optimizer=FedAdam(), ema=0.9, clip_norm=0.7, normalize_steps=True, variance_reduction=True),
        part_bytes=200,
    )

    def updates(numbers: Sequence[int], seed: int) -> dict[str, bytes]:
        base = rounds.files["model"]
        things = [f"t{number:03d}" for number in numbers]
        return {
            thing: update_to(base, thing, seed + place, encoding=encoding, examples=1 + 7 * place)
            for place, thing in enumerate(things)
        }

    rounds.have(updates(range(clients), 0))
    new = updates(range(5, clients + 5), 100)
    expected = rounds.prepared(new).average()
    rounds.options["elements"] = elements
    assert rounds.prepared(new).average(shards, summed=summed) == expected
    assert "optimizer" in expected


def test_buffers_and_integers_are_those_of_the_rounds_own_clients() -> None:
    settings = Averaging(rule="mean", optimizer=FedAvg())
    base, new = mixed_model(), {"b": update_to(mixed_model(), "b", 5)}
    rounds = Rounds(base, msgspec.structs.replace(settings, variance_reduction=True))
    rounds.have({"a": update_to(base, "a", 1), "b": update_to(base, "b", 2)})
    plain = Round(rounds.files["model"], accepted(new.values()), settings, TRAINING).average()["model"]
    rounds.have(new)
    found, expected = load(rounds.files["model"])[1], load(plain)[1]
    for name in ("mean", "count", "small", "flag"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert not np.array_equal(found["w"], expected["w"])


# ---- When they are of use


KNOWN = LastUpdates(
    encoding="int8",
    rule="mean",
    of={
        "a": LastUpdate(key="a", data_start=1, arrived_at=1000.0, weight=1.0),
        "b": LastUpdate(key="b", data_start=1, arrived_at=2000.0, weight=1.0),
    },
)


def test_they_are_of_use_as_long_as_s3_keeps_all_of_them() -> None:
    assert KNOWN.of_use("int8", "mean", ["c"], 1000.0 + KEPT_S - 1) == KNOWN
    assert KNOWN.of_use("int8", "mean", [], 1000.0 + KEPT_S) == LastUpdates(encoding="int8", rule="mean")


def test_they_begin_anew_if_one_is_of_a_client_that_was_expelled_or_another_kind_is_asked_for() -> None:
    assert not KNOWN.of_use("int8", "mean", ["x", "b"], 2000.0).of
    assert KNOWN.of_use("bfloat16", "mean", [], 2000.0) == LastUpdates(encoding="bfloat16", rule="mean")
    assert KNOWN.of_use("int8", "weighted", [], 2000.0) == LastUpdates(encoding="int8", rule="weighted")


def test_nothing_of_the_sum_is_left_when_they_begin_anew() -> None:
    rounds = Rounds(zeros(), Averaging(rule="mean", variance_reduction=True))
    before = rounds.have({"hostile": update(np.full(SHAPE, 3e38, "<f4") / 4, "hostile")})
    assert rounds.last is not None
    rounds.last = rounds.last.of_use(rounds.last.encoding, "mean", ["hostile"], 0.0)
    base, _ = flat([np.zeros(SHAPE, "<f4")])
    rounds.files = {"model": base, "optimizer": rounds.files["optimizer"]}
    rounds.have({"a": update(np.full(SHAPE, 2.0, "<f4"), "a")})
    found = rounds.have({"b": update(np.full(SHAPE, 4.0, "<f4"), "b")})
    np.testing.assert_array_equal(found, 2.0 + 4.0)
    assert before.max() > 1e37
