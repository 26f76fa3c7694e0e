"""Rounds on the embedded AWS, from a federation's start to its end."""

import numpy as np
import pytest

from cloud.initiator.learning_rate import training_in
from protocol import names
from protocol.messages import RoundNotice, decode
from protocol.tensors import to_float32
from sandbox.polling import eventually
from tests.cloud.simulated import INITIAL, SimulatedFederation

THINGS = ("d0", "d1", "d2")


def test_rounds_go_from_the_first_model_to_the_last(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=2)
    initial, _ = simulated.current()
    simulated.start()

    first = simulated.opened(1)
    assert [member.thing for member in first.cohort] == list(THINGS)
    assert first.base == initial
    assert simulated.responses_to(1).notified.keys() == set(THINGS)
    assignment = simulated.assignment("d1", 1)
    assert assignment.model == initial
    assert first.deadline == pytest.approx(first.opened_at + 600)
    assert assignment.deadline == pytest.approx(first.deadline + 60)  # what an extension may add
    assert assignment.training == training_in(first.settings, 1)
    assert (assignment.v, first.learning_rate) == (1, first.settings.training.learning_rate)

    for number, thing in enumerate(THINGS):
        simulated.answer(thing, 1, value=number, examples=number + 1, after={"loss": 2.0**number})
    first = simulated.ended(1)
    assert (first.status, first.accepted, first.refused) == ("closed", 3, 0)
    assert first.metrics == pytest.approx({"loss_after": (1 * 1 + 2 * 2 + 3 * 4) / 6})
    timeline = [first.opened_at, first.notified_at, first.averaging_at, first.averaged_at, first.closed_at]
    assert timeline == sorted(value for value in timeline if value is not None)
    mean = (0 * 1 + 1 * 2 + 2 * 3) / 6
    reference, model = simulated.current()
    assert reference == first.model
    assert reference.key == names.model_key(simulated.name, 1, simulated.life)
    np.testing.assert_allclose(model["w"], INITIAL["w"] + mean, rtol=1e-6)
    assert to_float32(model["s"], "BF16") == pytest.approx(1 + mean, rel=2**-8)
    assert model["s"].shape == ()
    assert model["n"] == 11

    second = simulated.opened(2)  # at once
    assert second.base == reference
    for thing in THINGS:
        simulated.answer(thing, 2, value=-1.0)
    second = simulated.ended(2)
    assert (second.status, second.accepted, second.refused) == ("closed", 3, 0)
    _, model = simulated.current()
    np.testing.assert_allclose(model["w"], INITIAL["w"] + mean - 1, rtol=1e-6)
    simulated.settled()
    federation = simulated.operations.federations.get(simulated.name)
    assert (federation.status, federation.round, federation.model) == ("finished", 2, second.model)
    with pytest.raises(LookupError):
        simulated.round(3)


def test_dashboards_find_the_state_of_the_round(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.start()

    def notice() -> RoundNotice | None:
        iot = simulated.aws.client("iot-data")
        try:
            answer = iot.get_retained_message(topic=names.round_topic(simulated.name))
        except iot.exceptions.ResourceNotFoundException:
            return None
        return decode(answer["payload"], RoundNotice)

    assert eventually(notice, "a notice").state == "open"
    simulated.answer("d0", 1, after={"accuracy": 0.5})
    closed = simulated.ended(1)
    last = eventually(lambda: n if (n := notice()) and n.state == "closed" else None, "the notice of the end")
    assert (last.round, last.counts.cohort, last.counts.accepted, last.counts.refused) == (1, 1, 1, 0)
    assert last.model == closed.model
    assert last.metrics == {"accuracy_after": 0.5}


def test_the_target_closes_a_round_and_leftover_assignments_are_withdrawn(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1, target=2)
    simulated.start()
    simulated.answer("d0", 1, value=1.0)
    simulated.accepted_count(1, 1)
    assert simulated.round(1).status == "open"
    simulated.answer("d1", 1, value=3.0)
    assert simulated.ended(1).accepted == 2
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 2)
    eventually(lambda: simulated.desired("d2").withdrawn == 1, "d2's assignment to be withdrawn")
    assert [simulated.desired(thing).withdrawn for thing in ("d0", "d1")] == [None, None]

    reference, _ = simulated.current()
    simulated.put("d2", 1, simulated.update("d2", 1))
    assert simulated.reason("d2", 1) == "late: the round is closed"
    assert simulated.round(1).accepted == 2
    assert simulated.current()[0] == reference


def test_the_deadline_ends_every_round_that_no_one_answers(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:1], rounds=2, quorum=1, deadline_s=1.0, extension_s=0.5)
    initial, _ = simulated.current()
    simulated.start()
    for number in (1, 2):
        aborted = simulated.ended(number)
        assert aborted.status == "aborted"
        assert aborted.reason == "the extended deadline was reached with 0 updates; the quorum is 1 of 1 clients"
        assert aborted.closed_at is not None
        assert aborted.closed_at >= aborted.deadline == pytest.approx(aborted.opened_at + 1)
        assert aborted.base == initial
    federation = simulated.operations.federations.get(simulated.name)
    assert (federation.status, federation.round, federation.model) == ("finished", 2, initial)
    eventually(lambda: simulated.desired("d0").withdrawn == 2, "the assignments to be withdrawn")


def test_the_deadline_closes_a_round_that_has_its_quorum(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1, quorum=2)
    simulated.start()
    simulated.answer("d0", 1, value=1.0)
    simulated.answer("d2", 1, value=2.0)
    simulated.accepted_count(1, 2)
    simulated.reach_deadline(1)
    ended = simulated.ended(1)
    assert (ended.status, ended.accepted) == ("closed", 2)
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 1.5)
    assert [simulated.client(thing).missed for thing in THINGS] == [0, 1, 0]
    eventually(lambda: simulated.desired("d1").withdrawn == 1, "d1's assignment to be withdrawn")


def test_a_fixed_rate_spaces_the_rounds(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=2, pacing={"policy": "fixed_rate", "interval_s": 2.0})
    simulated.start()
    simulated.answer("d0", 1)
    assert simulated.opened(2).opened_at >= simulated.ended(1).opened_at + 2


def test_turnarounds_are_remembered_and_a_hello_does_not_reset_them(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=2, selection={"smoothing": 0.5})
    simulated.start()
    simulated.answer("d0", 1)
    first = turnaround(simulated, 1)
    assert simulated.client("d0").turnaround_s == pytest.approx(first)

    simulated.say_hello("d0", component_version="2.0.0", examples=777)
    eventually(lambda: simulated.client("d0").component_version == "2.0.0", "the hello to be noted")
    known = simulated.client("d0")
    assert known.turnaround_s == pytest.approx(first)
    assert (known.examples, known.missed) == (777, 0)

    assert simulated.opened(2).cohort[0].turnaround_s == pytest.approx(first, rel=1e-5)  # six digits are kept
    simulated.answer("d0", 2)
    second = turnaround(simulated, 2)
    assert simulated.client("d0").turnaround_s == pytest.approx(0.5 * first + 0.5 * second, rel=1e-5)  # likewise


def turnaround(simulated: SimulatedFederation, round_number: int) -> float:
    simulated.ended(round_number)
    answers = simulated.responses_to(round_number)
    return max(0.0, answers.accepted[0].arrived_at - answers.notified["d0"])


def test_a_round_waits_for_clients_and_the_hello_that_makes_them_enough_opens_it(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0"], rounds=1, selection={"minimum": 2})
    simulated.start()
    eventually(lambda: simulated.operations.federations.get(simulated.name).waiting, "the federation to wait")
    with pytest.raises(LookupError):
        simulated.round(1)
    simulated.register("d1")
    simulated.say_hello("d1")
    assert [member.thing for member in simulated.opened(1).cohort] == ["d0", "d1"]
    eventually(lambda: not simulated.operations.federations.get(simulated.name).waiting, "the waiting to end")


def test_a_hello_is_noted_under_the_name_of_its_topic_whatever_it_says(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"])
    simulated.register("liar")
    before = simulated.client("d0")
    simulated.say_hello("liar", thing="d0", federation="another", kind="wake", component_version="6.6.6")
    assert simulated.client("liar").component_version == "6.6.6"
    assert simulated.client("d0") == before
    assert simulated.operations.clients.of("another") == []


def test_a_hello_of_strange_text_keeps_no_round_from_opening(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.register("odd")
    simulated.say_hello("odd", component_version="[1]", architecture='{"a": ')
    assert simulated.client("odd").component_version == "[1]"
    simulated.start()
    assert [member.thing for member in simulated.opened(1).cohort] == ["d0", "odd"]


def test_a_hello_from_outside_of_the_federations_thing_group_is_not_noted(simulated: SimulatedFederation) -> None:
    simulated.create([], thing_group=simulated.name)
    iot = simulated.aws.client("iot")
    iot.create_thing_group(thingGroupName=simulated.name)
    for thing in ("stranger", "member"):
        simulated.register(f"{simulated.name}-{thing}")
    member = f"{simulated.name}-member"
    iot.add_thing_to_thing_group(thingGroupName=simulated.name, thingName=member)
    simulated.say_hello(f"{simulated.name}-stranger")
    simulated.say_hello(member)
    assert simulated.client(member).component_version == "1.0.0"
    simulated.settled()
    assert [client.thing for client in simulated.operations.clients.of(simulated.name)] == [member]


def test_each_round_has_the_learning_rate_of_its_schedule_and_its_record_tells_it(
    simulated: SimulatedFederation,
) -> None:
    schedule = {"name": "step", "every_rounds": 1, "factor": 0.5, "warmup_rounds": 1}
    training = {"batch_size": 8, "epochs": 1, "learning_rate": 0.1, "clip_norm": 2.0, "schedule": schedule}
    simulated.create(["d0"], rounds=3, training=training)
    simulated.start()
    for number, expected in ((1, 0.05), (2, 0.1), (3, 0.05)):
        assert simulated.opened(number).learning_rate == expected
        assignment = simulated.assignment("d0", number)
        assert (assignment.v, assignment.training.learning_rate, assignment.training.clip_norm) == (2, expected, 2.0)
        simulated.answer("d0", number)
        ended = simulated.ended(number)
        assert (ended.status, ended.learning_rate) == ("closed", expected)
