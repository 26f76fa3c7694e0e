import msgspec
import pytest

from cli.settings.parsing import parse
from cloud.state.records import CohortMember, ResponseRecord, RoundRecord
from cloud.state.rounds import Responses
from protocol.messages import ModelReference
from sandbox.faults import DISRUPTIONS, MIN_DEVICES, MIN_ROUNDS, Fault, ImpossibleChaosError, Injection, judge, plan

THINGS = ["a", "b", "c", "d"]
SETTINGS = parse({"name": "judged", "training": {"epochs": 1, "batch_size": 1, "learning_rate": 0.1}})
CLOSED = RoundRecord(
    federation="judged",
    round=1,
    status="closed",
    settings=SETTINGS,
    base=ModelReference(key="model", sha256="0" * 64, bytes=1),
    schema="schema",
    cohort=tuple(CohortMember(thing=thing) for thing in THINGS),
    target=4,
    quorum=2,
    deadline=100.0,
    opened_at=80.0,
    closed_at=90.0,
    accepted=4,
    attempts=1,
)


def _answers(*things: str) -> Responses:
    return Responses(accepted=tuple(_accepted(thing) for thing in things))


def _accepted(thing: str) -> ResponseRecord:
    return ResponseRecord(thing=thing, state="accepted", arrived_at=1.0, inspected_at=1.0)


def _problems(injections: list[Injection], *rounds: tuple[RoundRecord, Responses]) -> dict[Fault, tuple[str, ...]]:
    records = [msgspec.structs.replace(record, round=number) for number, (record, _) in enumerate(rounds, 1)]
    answers = {number: each for number, (_, each) in enumerate(rounds, 1)}
    return {each.fault: each.problems for each in judge(injections, records, answers)}


GOOD = (CLOSED, _answers(*THINGS))


@pytest.mark.parametrize("rounds", [MIN_ROUNDS, MIN_ROUNDS + 1, 50])
@pytest.mark.parametrize("seed", range(20))
def test_a_plan_has_every_fault_and_leaves_out_the_first_and_the_last_two_rounds(seed: int, rounds: int) -> None:
    planned = plan(seed, rounds, THINGS)
    assert {each.fault for each in planned} == set(Fault) - {Fault.REFUSAL}
    assert plan(seed, rounds, reversed(THINGS)) == planned
    disruptions = [each for each in planned if each.fault is not Fault.DUPLICATE]
    assert len({each.round for each in disruptions}) == len(DISRUPTIONS)
    assert all(2 <= each.round <= rounds - 2 for each in disruptions)
    assert all((each.thing is None) == (each.fault is Fault.AVERAGER) for each in disruptions)


def test_other_seeds_give_other_plans() -> None:
    assert len({str(plan(seed, 20, THINGS)) for seed in range(20)}) > 10


@pytest.mark.parametrize(("rounds", "devices"), [(MIN_ROUNDS - 1, MIN_DEVICES), (MIN_ROUNDS, MIN_DEVICES - 1)])
def test_a_plan_needs_rounds_and_devices(rounds: int, devices: int) -> None:
    with pytest.raises(ImpossibleChaosError, match="at least"):
        plan(0, rounds, THINGS[:devices])


def test_what_did_not_happen_was_not_survived() -> None:
    assert set(_problems([], GOOD).values()) == {("it did not happen",)}


def test_faults_after_which_all_went_on_are_survived() -> None:
    waited = msgspec.structs.replace(CLOSED, accepted=3, closed_at=100.1)
    twice = msgspec.structs.replace(CLOSED, attempts=2)
    injections = [
        Injection(Fault.POWER, 1, "a"),
        Injection(Fault.STRAGGLER, 2, "b"),
        Injection(Fault.AVERAGER, 3),
        Injection(Fault.DUPLICATE, 1, "c"),
        Injection(Fault.DUPLICATE, 3, "c"),
        Injection(Fault.REFUSAL, 1),
    ]
    rounds = [GOOD, (waited, _answers("a", "c", "d")), (twice, _answers(*THINGS))]
    records = [msgspec.structs.replace(record, round=number) for number, (record, _) in enumerate(rounds, 1)]
    judged = judge(injections, records, {number: each for number, (_, each) in enumerate(rounds, 1)})
    by_fault = {each.fault: each for each in judged}
    for fault in {each.fault for each in injections}:
        assert by_fault[fault].survived, by_fault[fault]
    assert by_fault[Fault.DUPLICATE].injected == 2
    assert by_fault[Fault.DUPLICATE].rounds == (1, 3)
    assert by_fault[Fault.REFUSAL].rounds == (1, 2, 3)


@pytest.mark.parametrize(
    ("record", "answers", "problem"),
    [
        (
            msgspec.structs.replace(CLOSED, status="aborted", reason="below"),
            _answers(*THINGS),
            "round 1 is aborted: below",
        ),
        (msgspec.structs.replace(CLOSED, lease_owner="x"), _answers(*THINGS), "round 1 is closed, and leased by x"),
        (msgspec.structs.replace(CLOSED, accepted=5), _answers(*THINGS), "round 1 counted 5 updates, of 4 clients"),
        (CLOSED, _answers("a", "b", "c", "z"), "round 1 counted z, not of its cohort"),
    ],
)
def test_a_round_that_went_wrong_is_told(record: RoundRecord, answers: Responses, problem: str) -> None:
    assert _problems([Injection(Fault.DUPLICATE, 1, "a")], (record, answers))[Fault.DUPLICATE] == (problem,)
    assert problem in _problems([Injection(Fault.REFUSAL, 2)], (record, answers), GOOD)[Fault.REFUSAL]


def test_a_device_that_stays_away_is_told() -> None:
    without = (msgspec.structs.replace(CLOSED, accepted=3), _answers("b", "c", "d"))
    problems = _problems([Injection(Fault.POWER, 2, "a")], GOOD, without, without)
    assert problems[Fault.POWER] == ("a took no part after round 2",)


def test_a_straggler_that_was_in_time_and_an_averager_that_lived_are_told() -> None:
    problems = _problems([Injection(Fault.STRAGGLER, 1, "a"), Injection(Fault.AVERAGER, 1)], GOOD)
    assert problems[Fault.STRAGGLER] == ("a was in time in round 1",)
    assert problems[Fault.AVERAGER] == ("round 1 was averaged at the first attempt",)


def test_a_round_that_did_not_wait_for_its_deadline_is_told() -> None:
    early = (msgspec.structs.replace(CLOSED, accepted=3), _answers("b", "c", "d"))
    problems = _problems([Injection(Fault.STRAGGLER, 1, "a")], early, GOOD)
    assert problems[Fault.STRAGGLER] == ("round 1 did not wait for a",)
