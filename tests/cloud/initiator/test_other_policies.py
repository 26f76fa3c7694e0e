"""Oort, tiers and strata: whom these policies select."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.initiator.selection.cohort import select
from cloud.initiator.selection.tiers import TIERS
from cloud.settings import Selection
from cloud.state.records import ClientRecord


def client(number: int, **known: Any) -> ClientRecord:
    return ClientRecord(federation="f", thing=f"t{number:02d}", **known)


def things(fleet: list[ClientRecord], policy: Any, cohort: int, number: int = 10, seed: int = 0) -> list[str]:
    return [member.thing for member in select(fleet, Selection(policy=policy, cohort=cohort, seed=seed), number)]


RECORDS = st.lists(
    st.builds(
        client,
        st.just(0),
        turnaround_s=st.none() | st.floats(0, 1e300),
        loss=st.none() | st.floats(0, 1e300),
        examples=st.none() | st.integers(0, 2**53),
        missed=st.integers(0, 99_999_999),
        last_round=st.none() | st.integers(1, 99_999_999),
        stratum=st.none() | st.sampled_from("abc"),
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize("policy", ["oort", "tiers", "stratified"])
@given(records=RECORDS, size=st.integers(1, 30), number=st.integers(1, 99_999_999))
def test_whatever_clients_claim_the_cohort_has_its_size(
    policy: str, records: list[ClientRecord], size: int, number: int
) -> None:
    fleet = [
        ClientRecord(**{name: getattr(one, name) for name in one.__struct_fields__} | {"thing": f"t{place:02d}"})
        for place, one in enumerate(records)
    ]
    found = things(fleet, policy, size, number)
    assert len(set(found)) == len(found) == min(size, len(fleet))
    assert things(fleet, policy, size, number) == found


def measured(number: int, turnaround_s: float = 4.0, **known: Any) -> ClientRecord:
    usual: dict[str, Any] = {"loss": 1.0, "examples": 100, "last_round": 5}
    return client(number, turnaround_s=turnaround_s, **usual | known)


def test_oort_takes_those_with_the_most_to_teach() -> None:
    fleet = [measured(number, loss=0.1 + 0.1 * number) for number in range(20)]
    assert things(fleet, "oort", 3) == ["t17", "t18", "t19"]
    fleet = [measured(number, examples=100 + 10 * number) for number in range(20)]
    assert things(fleet, "oort", 3) == ["t17", "t18", "t19"]


def test_oort_takes_fast_ones_of_equals() -> None:
    fleet = [measured(number, turnaround_s=1.0 if number < 8 else 20.0) for number in range(20)]
    assert set(things(fleet, "oort", 6)) <= {f"t{number:02d}" for number in range(8)}


def test_oort_leaves_part_of_the_cohort_to_clients_that_were_never_measured() -> None:
    fleet = [measured(number) for number in range(20)] + [client(20 + number) for number in range(20)]
    early, late = things(fleet, "oort", 10, 1), things(fleet, "oort", 10, 500)
    assert sum(thing >= "t20" for thing in early) == 9
    assert sum(thing >= "t20" for thing in late) == 3


def test_oort_believes_no_loss_that_is_far_over_the_others() -> None:
    fleet = [measured(number, loss=1.0 + 0.01 * number) for number in range(39)] + [measured(39, loss=1e30)]
    counts = Counter(thing for seed in range(50) for thing in things(fleet, "oort", 10, seed=seed))
    assert counts["t39"] >= 35  # it takes part as the others that have most to teach
    assert abs(counts["t38"] - counts["t39"]) <= 10
    assert len(counts) >= 10


def test_oort_asks_those_less_that_miss_rounds() -> None:
    fleet = [measured(number, missed=number % 2) for number in range(20)]
    assert all(int(thing[1:]) % 2 == 0 for thing in things(fleet, "oort", 10))


def test_a_cohort_of_tiers_is_of_like_speed_and_each_tier_has_its_turn() -> None:
    fleet = [measured(number, turnaround_s=1.0 + number) for number in range(40)]
    cohorts = [things(fleet, "tiers", 8, number) for number in range(1, TIERS + 1)]
    assert sorted(thing for cohort in cohorts for thing in cohort) == [one.thing for one in fleet]
    for cohort in cohorts:
        places = [int(thing[1:]) for thing in cohort]
        assert max(places) - min(places) == 7


def test_what_a_tier_lacks_comes_from_the_next_slower_one() -> None:
    fleet = [measured(number, turnaround_s=1.0 + number) for number in range(20)]
    cohort = things(fleet, "tiers", 6, TIERS)  # the first tier has four
    assert set(cohort) > {"t00", "t01", "t02", "t03"}
    assert set(cohort) <= {f"t{number:02d}" for number in range(8)}


def test_within_a_tier_those_come_first_that_have_waited_longest() -> None:
    fleet = [measured(number, turnaround_s=1.0 + number, last_round=number % 4 + 1) for number in range(40)]
    assert things(fleet, "tiers", 2, TIERS) == ["t00", "t04"]


def test_tiers_take_new_clients_first_and_those_that_missed_rounds_last() -> None:
    fleet = [
        measured(0, missed=1, last_round=9),
        measured(1, missed=3, last_round=7),
        measured(2, missed=1, last_round=7),
        measured(3),
        client(4),
    ]
    assert things(fleet, "tiers", 1, 10) == ["t04"]
    assert things(fleet, "tiers", 3, 10) == ["t02", "t03", "t04"]
    assert len(things(fleet, "tiers", 5, 10)) == 5


def test_strata_have_the_share_of_a_cohort_that_they_have_of_the_fleet() -> None:
    fleet = [client(number, stratum="a" if number < 20 else "b" if number < 30 else None) for number in range(40)]
    for number in range(1, 60):
        cohort = things(fleet, "stratified", 8, number)
        counts = Counter("a" if thing < "t20" else "b" if thing < "t30" else "" for thing in cohort)
        assert (counts["a"], counts["b"], counts[""]) == (4, 2, 2)


def test_all_clients_of_all_strata_are_drawn_alike() -> None:
    fleet = [client(number, stratum=str(number % 7)) for number in range(20)]
    counts = Counter(thing for number in range(1, 2_001) for thing in things(fleet, "stratified", 5, number))
    assert all(400 <= counts[one.thing] <= 600 for one in fleet)  # 500 +- 5 standard deviations


def test_without_strata_it_is_a_draw_of_all() -> None:
    fleet = [client(number) for number in range(20)]
    assert len({tuple(things(fleet, "stratified", 5, number)) for number in range(1, 30)}) > 20
