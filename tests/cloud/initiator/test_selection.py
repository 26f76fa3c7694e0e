"""cloud/initiator/selection: who takes part in a round."""

from collections import Counter
from typing import Any, get_args

import pytest

from cloud.custom_policies import InvalidPolicyError
from cloud.initiator.selection.cohort import NotEnoughClientsError, select
from cloud.settings import MAX_COHORT, Selection, SelectionPolicyName
from cloud.state.records import ClientRecord, CohortMember
from cloud.state.views import client_view
from fedgrass.policies import Client
from tests.cloud.examples import clients

FLEET = [ClientRecord(federation="f", thing=f"t{number:02d}") for number in range(20)]
POLICIES = [name for name in get_args(SelectionPolicyName) if name != "custom"]


def things(fleet: list[ClientRecord], round_number: int = 1, **selection: Any) -> list[str]:
    return [member.thing for member in select(fleet, Selection(**selection), round_number)]


def test_all_takes_everyone_in_the_order_of_names() -> None:
    assert things(list(reversed(FLEET)), policy="all", cohort=2) == [client.thing for client in FLEET]


def test_the_cohort_remembers_the_history_of_its_members() -> None:
    fleet = [ClientRecord(federation="f", thing="a", turnaround_s=3.5, missed=2)]
    (member,) = select(fleet, Selection(), 1)
    assert (member.thing, member.turnaround_s, member.missed) == ("a", 3.5, 2)


@pytest.mark.parametrize("policy", ["balanced", "random", "fastest", "oort", "tiers", "stratified"])
def test_the_cohort_has_the_size_that_was_asked_for(policy: str) -> None:
    assert len(things(FLEET, policy=policy, cohort=7)) == 7
    assert len(things(FLEET, policy=policy, cohort="25%")) == 5
    assert len(things(FLEET, policy=policy, cohort=100)) == 20


@pytest.mark.parametrize("policy", ["balanced", "random", "fastest", "oort", "tiers", "stratified"])
@pytest.mark.parametrize(
    ("cohort", "dropout", "expected"),
    [(7, 0.0, 7), (8, 0.2, 10), (9, 0.1, 10), ("50%", 0.5, 20), (10, 0.3, 15), (15, 0.5, 20), (1, 0.05, 2)],
)
def test_as_many_more_are_selected_as_are_expected_to_drop_out(
    policy: str, cohort: int | str, dropout: float, expected: int
) -> None:
    assert len(things(FLEET, policy=policy, cohort=cohort, dropout=dropout)) == expected


def test_random_gives_the_same_cohort_for_the_same_seed_and_round() -> None:
    first = things(FLEET, 3, policy="random", cohort=5, seed=1)
    assert things(FLEET, 3, policy="random", cohort=5, seed=1) == first
    assert first == sorted(first)
    assert len(set(first)) == 5


def test_random_gives_other_cohorts_in_other_rounds_and_for_other_seeds() -> None:
    by_round = {tuple(things(FLEET, number, policy="random", cohort=5)) for number in range(1, 11)}
    by_seed = {tuple(things(FLEET, 1, policy="random", cohort=5, seed=seed)) for seed in range(10)}
    assert len(by_round) == len(by_seed) == 10


def test_random_takes_everyone_equally_often() -> None:
    counts = Counter(thing for number in range(1, 1001) for thing in things(FLEET, number, policy="random", cohort=5))
    assert counts.keys() == {client.thing for client in FLEET}
    assert all(200 <= count <= 300 for count in counts.values())  # 250 +- 3.6 standard deviations


def test_fastest_takes_those_with_the_shortest_turnaround() -> None:
    fleet = clients(a=9.0, b=1.0, c=5.0, d=2.0)
    assert things(fleet, policy="fastest", cohort=2) == ["b", "d"]


def test_fastest_takes_those_never_measured_first() -> None:
    fleet = clients(a=1.0, b=None, c=0.5, d=None)
    assert things(fleet, policy="fastest", cohort=2) == ["b", "d"]
    assert things(fleet, policy="fastest", cohort=3) == ["b", "c", "d"]


def test_fastest_settles_ties_by_name() -> None:
    assert things(clients(c=1.0, b=1.0, a=1.0), policy="fastest", cohort=2) == ["a", "b"]


def test_probabilistic_takes_each_with_one_minus_its_share_of_the_longest_turnaround() -> None:
    fleet = clients(new=None, fast=2.0, middle=5.0, slow=8.0, slowest=10.0)
    rounds = 4000
    counts = Counter(thing for number in range(rounds) for thing in things(fleet, number, policy="probabilistic"))
    assert counts["slowest"] == 0
    assert counts["new"] == rounds
    for thing, probability in (("fast", 0.8), ("middle", 0.5), ("slow", 0.2)):
        assert counts[thing] / rounds == pytest.approx(probability, abs=0.03)  # over 3.7 standard deviations


def test_probabilistic_takes_everyone_when_no_one_was_measured() -> None:
    assert things(clients(a=None, b=None), policy="probabilistic") == ["a", "b"]
    assert things(clients(a=0.0, b=None), policy="probabilistic") == ["a", "b"]


def test_probabilistic_takes_the_fastest_when_chance_takes_no_one() -> None:
    assert all(things(clients(only=3.0), number, policy="probabilistic") == ["only"] for number in range(50))
    fleet = clients(a=10.0, b=9.99)
    assert Counter(tuple(things(fleet, number, policy="probabilistic")) for number in range(50)) == {("b",): 50}


def test_probabilistic_is_reproducible() -> None:
    fleet = clients(a=1.0, b=2.0, c=3.0, d=4.0)
    for number in range(20):
        assert things(fleet, number, policy="probabilistic") == things(fleet, number, policy="probabilistic")


@pytest.mark.parametrize("policy", ["all", "random", "fastest", "probabilistic", "custom"])
def test_a_round_waits_until_there_are_enough_clients(policy: str) -> None:
    with pytest.raises(NotEnoughClientsError, match="round 4 needs 3 clients; 2 are there"):
        things(FLEET[:2], 4, policy=policy, minimum=3)
    with pytest.raises(NotEnoughClientsError):
        things([], policy=policy)


def test_a_custom_policy_sees_all_clients_and_what_was_asked_for() -> None:
    seen: list[Any] = []

    def choose_clients(candidates: list[Client], cohort: int, round_number: int) -> list[str]:
        seen.append((candidates, cohort, round_number))
        return ["t03", "t01"]

    cohort = select(FLEET, Selection(policy="custom", cohort="10%"), 9, choose_clients)
    assert [member.thing for member in cohort] == ["t01", "t03"]
    assert seen == [([client_view(record) for record in FLEET], 2, 9)]
    select(FLEET, Selection(policy="custom", cohort="10%", dropout=0.5), 9, choose_clients)
    assert seen[1:] == [([client_view(record) for record in FLEET], 4, 9)]


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ([], "one or more"),
        (["t01", "stranger"], "stranger"),
        (["t01", "t01"], "each once"),
        ("t01", "list|array"),
        (None, "null"),
        ([1], "int"),
        ([FLEET[0]], "ClientRecord|str"),
    ],
)
def test_what_a_custom_policy_may_not_return_is_refused(returned: Any, text: str) -> None:
    def choose_clients(candidates: list[Client], cohort: int, round_number: int) -> Any:
        return returned

    with pytest.raises(InvalidPolicyError, match=rf"choose_clients.*({text})"):
        select(FLEET, Selection(policy="custom"), 1, choose_clients)


def test_an_error_of_a_custom_policy_is_told_with_its_name() -> None:
    def choose_clients(candidates: list[Client], cohort: int, round_number: int) -> list[str]:
        return [candidates[99].thing]

    with pytest.raises(InvalidPolicyError, match=r"choose_clients failed: IndexError"):
        select(FLEET, Selection(policy="custom"), 1, choose_clients)


def test_a_rule_that_was_not_loaded_is_told() -> None:
    with pytest.raises(InvalidPolicyError, match="no choose_clients"):
        select(FLEET, Selection(policy="custom"), 1)


@pytest.mark.parametrize(
    "policy", ["balanced", "random", "fastest", "oort", "tiers", "stratified", "all", "probabilistic"]
)
def test_busy_clients_are_in_the_cohort_as_they_are_and_are_not_selected_again(policy: Any) -> None:
    busy = [CohortMember(thing=f"t{number:02d}", assigned_in=1, assigned_at=9.0) for number in (3, 7)]
    cohort = select(FLEET, Selection(policy=policy, cohort=5), 2, busy=busy)
    assert [member for member in cohort if member.assigned_in is not None] == busy
    assert len({member.thing for member in cohort}) == len(cohort)
    assert [member.thing for member in cohort] == sorted(member.thing for member in cohort)
    if policy not in ("all", "probabilistic"):
        assert len(cohort) == 5  # so many train at a time


def test_while_enough_clients_are_busy_no_others_are_selected() -> None:
    busy = [CohortMember(thing=client.thing, assigned_in=1, assigned_at=9.0) for client in FLEET]
    assert list(select(FLEET, Selection(), 2, busy=busy)) == busy
    assert list(select(FLEET, Selection(policy="random", cohort=3), 2, busy=busy[:4])) == busy[:4]


def test_a_custom_policy_chooses_among_the_others_for_the_room_that_is_left() -> None:
    asked = []

    def choose(clients: list[ClientRecord], cohort: int, _round_number: int) -> list[str]:
        asked.append(([client.thing for client in clients], cohort))
        return [clients[0].thing]

    busy = [CohortMember(thing="t00", assigned_in=1, assigned_at=9.0)]
    cohort = select(FLEET[:4], Selection(policy="custom", cohort=3), 2, choose, busy)
    assert [member.thing for member in cohort] == ["t00", "t01"]
    assert asked == [(["t01", "t02", "t03"], 2)]


@pytest.mark.parametrize(
    "policy", ["balanced", "all", "random", "fastest", "oort", "tiers", "stratified", "probabilistic"]
)
def test_of_more_clients_than_a_round_can_have_others_are_drawn_in_each(policy: Any) -> None:
    fleet = [ClientRecord(federation="f", thing=f"t{number:04d}") for number in range(MAX_COHORT + 200)]
    busy = [CohortMember(thing=client.thing, assigned_in=1) for client in fleet[:10]]
    cohorts = [select(fleet, Selection(policy=policy), number, None, busy) for number in (2, 2, 3)]
    assert [len(cohort) for cohort in cohorts] == [MAX_COHORT] * 3
    assert all(set(busy) <= set(cohort) for cohort in cohorts)
    assert cohorts[0] == cohorts[1]
    assert policy == "fastest" or cohorts[1] != cohorts[2]
