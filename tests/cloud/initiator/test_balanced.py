"""The balanced policy: how often each client takes part, and that what is averaged is what all clients would make."""

import itertools
import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloud.averager.work.sources import accepted_updates
from cloud.averaging.accepted_updates import S3Object
from cloud.averaging.weighing import weigh
from cloud.initiator.selection.balanced import FLOOR, RATIO
from cloud.initiator.selection.cohort import select
from cloud.initiator.selection.unequal_draw import drawn, inclusions
from cloud.settings import MAX_COHORT, Averaging, Selection
from cloud.state.records import ClientRecord, CohortMember, ResponseRecord
from protocol.messages import Training
from tests.cloud.examples import report, round_record

TRAINING = Training(epochs=1, batch_size=10, learning_rate=0.1)
BALANCED = Selection(policy="balanced", cohort=5)


def client(number: int, **known: Any) -> ClientRecord:
    return ClientRecord(federation="f", thing=f"t{number:02d}", **known)


def cohort_of(fleet: list[ClientRecord], number: int = 1, **averaging: Any) -> dict[str, CohortMember]:
    found = select(fleet, BALANCED, number, averaging=Averaging(**averaging))
    return {member.thing: member for member in found}


def probabilities(fleet: list[ClientRecord], **averaging: Any) -> dict[str, float]:
    """What the members of many cohorts were told."""
    told: dict[str, float] = {}
    for number in range(1, 400):
        for thing, member in cohort_of(fleet, number, **averaging).items():
            assert told.setdefault(thing, member.inclusion or 1.0) == (member.inclusion or 1.0)
    return told


RECORDS = st.builds(
    client,
    st.just(0),
    turnaround_s=st.none() | st.floats(0, 1e300),
    norm=st.none() | st.floats(0, 1e300),
    examples=st.none() | st.integers(0, 2**53),
    missed=st.integers(0, 99_999_999),
)


@given(st.lists(RECORDS, min_size=1, max_size=40), st.integers(1, 40), st.sampled_from(["mean", "weighted"]))
def test_whatever_clients_claim_the_cohort_has_its_size_and_no_one_is_starved(
    records: list[ClientRecord], size: int, rule: Any
) -> None:
    fleet = [ClientRecord(**{**_fields(one), "thing": f"t{number:02d}"}) for number, one in enumerate(records)]
    found = select(fleet, Selection(cohort=size), 1, averaging=Averaging(rule=rule))
    assert len({member.thing for member in found}) == len(found) == min(size, len(fleet))
    least = FLOOR * min(size, len(fleet)) / len(fleet)
    assert all(least * (1 - 1e-5) <= (member.inclusion or 1.0) <= 1 for member in found)


def _fields(record: ClientRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60), st.data())
def test_probabilities_add_up_to_the_size_and_are_in_proportion_to_preferences(
    preferences: list[float], data: Any
) -> None:
    size = data.draw(st.integers(1, len(preferences)))
    found = inclusions(preferences, size)
    assert math.fsum(found) == pytest.approx(size, rel=1e-9)
    assert all(0 < one <= 1 for one in found)
    ratios = [one / preference for one, preference in zip(found, preferences, strict=True) if one < 1]
    if ratios:
        assert max(ratios) == pytest.approx(min(ratios))
        for one, preference in zip(found, preferences, strict=True):
            assert one < 1 or preference * ratios[0] >= 1 - 1e-9


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=60), st.integers(), st.data())
def test_a_draw_has_the_size_that_probabilities_add_up_to(weights: list[float], seed: int, data: Any) -> None:
    size = data.draw(st.integers(1, len(weights)))
    places = drawn(inclusions(weights, size), range(len(weights)), random.Random(seed))  # noqa: S311 - reproducible
    assert len(set(places)) == len(places) == size


def shuffled(size: int, generator: random.Random) -> list[int]:
    return generator.sample(range(size), size)


def test_each_is_drawn_as_often_as_its_probability_says() -> None:
    chances = inclusions([1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 40.0, 0.5], 4)
    generator, draws = random.Random(1), 20_000  # noqa: S311 - reproducible
    counts = Counter(place for _ in range(draws) for place in drawn(chances, shuffled(8, generator), generator))
    for place, chance in enumerate(chances):
        deviation = math.sqrt(chance * (1 - chance) / draws)
        assert abs(counts[place] / draws - chance) <= 4.5 * deviation


def test_each_is_drawn_with_each_other() -> None:
    generator = random.Random(1)  # noqa: S311 - reproducible
    pairs = Counter(
        pair
        for _ in range(5_000)
        for pair in itertools.combinations(sorted(drawn([0.4] * 10, shuffled(10, generator), generator)), 2)
    )
    assert len(pairs) == 45
    assert min(pairs.values()) > 0.3 * max(pairs.values())


def test_of_places_beside_each_other_as_many_are_drawn_as_their_probabilities_add_up_to() -> None:
    generator = random.Random(1)  # noqa: S311 - reproducible
    for _ in range(200):
        places = drawn([0.25] * 40, range(40), generator)
        assert all(1 <= sum(first <= place < first + 10 for place in places) <= 4 for first in (0, 10, 20, 30))


def test_members_are_told_the_probability_that_they_were_drawn_with() -> None:
    fleet = [client(number, turnaround_s=1.0 + number, norm=1.0, examples=10 + number) for number in range(20)]
    told, rounds = probabilities(fleet), 4_000
    counts = Counter(thing for number in range(1, rounds + 1) for thing in cohort_of(fleet, number))
    for thing, chance in told.items():
        assert counts[thing] / rounds == pytest.approx(chance, abs=4.5 * math.sqrt(chance * (1 - chance) / rounds))
    assert math.fsum(told.values()) == pytest.approx(5, rel=1e-4)


def test_a_client_is_drawn_by_its_data_its_norm_and_the_root_of_its_turnaround() -> None:
    def chance(**known: Any) -> float:
        usual = {"turnaround_s": 4.0, "norm": 1.0, "examples": 10}
        fleet = [client(number, **usual) for number in range(40)]
        told = probabilities([*fleet[1:], client(0, **usual | known)])
        # Beyond the floor, in multiples of another client's.
        floor = FLOOR * 5 / 40
        return (told["t00"] - floor) / (told["t01"] - floor)

    def proportion(of: float) -> Any:
        """One client of another preference moves the mean of all, of which the floor is a share."""
        return pytest.approx(of, rel=0.2)

    assert chance() == pytest.approx(1)
    assert chance(turnaround_s=1.0) == proportion(2)
    assert chance(turnaround_s=16.0) == proportion(1 / 2)
    assert chance(norm=3.0) == proportion(3)
    assert chance(examples=20) == proportion(2)
    assert chance(missed=2) == proportion(1 / 4)


@pytest.mark.parametrize("claim", [{"norm": 1e30}, {"examples": 2**53}, {"turnaround_s": 1e-9}])
def test_what_a_client_claims_is_bounded(claim: dict[str, float]) -> None:
    fleet = [client(number, turnaround_s=4.0, norm=1.0, examples=10) for number in range(40)]
    bounded = {"norm": RATIO, "examples": 10 * 10, "turnaround_s": 4.0 / RATIO}
    liar = ClientRecord(**_fields(fleet[0]) | claim)
    honest = ClientRecord(**_fields(fleet[0]) | {name: bounded[name] for name in claim})
    assert probabilities([liar, *fleet[1:]]) == pytest.approx(probabilities([honest, *fleet[1:]]))


def test_each_cohort_has_about_as_many_of_each_speed() -> None:
    fleet = [client(number, turnaround_s=1.0 + number // 10, norm=1.0, examples=10) for number in range(40)]
    told = {member.thing: member.inclusion for number in range(1, 200) for member in _eight(fleet, number)}
    for number in range(1, 200):
        places = [int(member.thing[1:]) for member in _eight(fleet, number)]
        for first in (0, 10, 20, 30):
            expected = math.fsum(told[f"t{place:02d}"] or 1.0 for place in range(first, first + 10))
            assert abs(sum(first <= place < first + 10 for place in places) - expected) < 2


def _eight(fleet: list[ClientRecord], number: int) -> tuple[CohortMember, ...]:
    return select(fleet, Selection(cohort=8), number)


def test_a_rule_that_counts_no_examples_draws_by_none() -> None:
    fleet = [client(number, turnaround_s=4.0, norm=1.0, examples=10 * number + 1) for number in range(10)]
    assert set(probabilities(fleet, rule="mean").values()) == {0.5}
    assert len(set(probabilities(fleet).values())) > 5


def test_clients_that_were_never_seen_are_drawn_no_less_often_than_any_other() -> None:
    known = [client(number, turnaround_s=1.0 + number, norm=1.0, examples=10) for number in range(10)]
    told = probabilities([*known, client(20), client(21, examples=10)])
    assert told["t20"] == told["t21"] == max(told.values())


def test_all_are_drawn_alike_before_anything_is_known_of_them() -> None:
    assert set(probabilities([client(number) for number in range(10)]).values()) == {0.5}


def test_a_client_that_misses_rounds_is_drawn_less_often_but_no_less_than_the_floor() -> None:
    fleet = [client(number, turnaround_s=4.0, norm=1.0, examples=10, missed=number) for number in range(20)]
    told = probabilities(fleet)
    ordered = [told[thing] for thing in sorted(told)]
    assert ordered == sorted(ordered, reverse=True)
    assert ordered[2] > 2 * ordered[4]
    assert FLOOR * 5 / 20 <= ordered[-1] < 1.5 * FLOOR * 5 / 20  # others can have no more than 1


def test_everyone_takes_part_and_counts_alike_if_the_cohort_has_room_for_all() -> None:
    fleet = [client(number, turnaround_s=1.0 + number, norm=2.0, missed=number % 3) for number in range(20)]
    everyone = select(fleet, Selection(policy="all"), 1)
    assert select(fleet, Selection(), 1) == select(fleet, Selection(cohort=20), 1) == everyone


def test_of_more_clients_than_a_round_can_have_it_takes_as_many() -> None:
    fleet = [ClientRecord(federation="f", thing=f"t{number:04d}") for number in range(MAX_COHORT + 500)]
    found = select(fleet, Selection(), 1)
    assert len(found) == MAX_COHORT
    assert {member.inclusion for member in found} == {0.75}


def skewed() -> tuple[list[ClientRecord], list[NDArray[np.float64]]]:
    """A fleet whose data, norms and labels go with its speed, and the updates that it would send."""
    generator = np.random.default_rng(3)
    fleet, deltas = [], []
    for number in range(40):
        delta = np.ones(8) + 0.5 * generator.normal(size=8) + 0.8 * (1 - number / 40) * np.arange(8)
        examples = int(generator.integers(50, 200))
        turnaround_s = math.exp(number / 40 * math.log(10))
        norm = float(np.linalg.norm(delta))
        fleet.append(client(number, turnaround_s=turnaround_s, norm=norm, examples=examples))
        deltas.append(delta)
    return fleet, deltas


def test_what_is_averaged_is_expected_to_be_the_mean_of_all_clients() -> None:
    """Over 2,000 rounds with 10 of 40 clients: the mean of what is averaged is that of all clients within 3 %, where
    one that weighs by examples alone is off by more than 15 %. Of the 3 %, most is because weights are shares of their
    sum: by the inverse probabilities alone it would be what chance leaves."""
    fleet, deltas = skewed()
    shares = np.array([one.examples or 0 for one in fleet], float) / sum(one.examples or 0 for one in fleet)
    full = shares @ np.array(deltas)
    as_it_is, by_examples, by_probability = np.zeros(8), np.zeros(8), np.zeros(8)
    rounds = 2_000
    for number in range(1, rounds + 1):
        cohort = select(fleet, Selection(cohort=10), number)
        as_it_is += _mean(fleet, deltas, cohort) / rounds
        by_examples += _mean(fleet, deltas, tuple(CohortMember(thing=member.thing) for member in cohort)) / rounds
        for member in cohort:
            place = int(member.thing[1:])
            by_probability += shares[place] / (member.inclusion or 1.0) * deltas[place] / rounds
    assert _error(as_it_is, full) < 0.03
    assert _error(by_examples, full) > 0.15
    assert _error(by_probability, full) < 0.015


def _mean(
    fleet: list[ClientRecord], deltas: list[NDArray[np.float64]], cohort: tuple[CohortMember, ...]
) -> NDArray[np.float64]:
    """What the averager makes of a cohort's updates."""
    places = [int(member.thing[1:]) for member in cohort]
    responses = [
        ResponseRecord(
            thing=fleet[place].thing,
            state="accepted",
            arrived_at=1.0,
            inspected_at=1.0,
            norm=fleet[place].norm,
            report=report(fleet[place].thing, examples=fleet[place].examples),
        )
        for place in places
    ]
    record = round_record(cohort=cohort)
    sources = list(accepted_updates(record, responses, lambda one: S3Object(key=one.thing, data_start=0)))
    weights = weigh(Averaging(), TRAINING, sources).weights
    mean: NDArray[np.float64] = weights @ np.array([deltas[place] for place in places]) / weights.sum()
    return mean


def _error(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


def test_a_draw_by_probability_tells_more_of_all_clients_than_one_of_equals() -> None:
    """The mean square error of the cohorts' means, where norms differ by much: why clients are drawn by them."""
    generator = np.random.default_rng(5)
    deltas = [generator.normal(size=8) * (6.0 if number % 8 == 0 else 0.5) for number in range(40)]
    fleet = [
        client(number, turnaround_s=1.0, norm=float(np.linalg.norm(delta)), examples=100)
        for number, delta in enumerate(deltas)
    ]
    full = np.mean(deltas, axis=0)

    def squares(policy: Any) -> float:
        chosen = (select(fleet, Selection(policy=policy, cohort=10), number) for number in range(1, 500))
        return sum(float(np.square(_mean(fleet, deltas, cohort) - full).sum()) for cohort in chosen)

    assert squares("balanced") < 0.7 * squares("random")
