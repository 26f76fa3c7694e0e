"""reporting/watching.py: what is seen of a federation, wherever it is, and what a look costs."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cloud.state.records import RoundRecord
from cloud.state.rounds import Responses
from reporting.view import Device, View
from reporting.watching import RESPONSES_PER_S, SHADOWS, Watcher
from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation


class Calls:
    """Counts the calls of some boto3 clients, by operation."""

    def __init__(self, *clients: Any) -> None:
        self.made: Counter[str] = Counter()
        self._clients = clients

    def __enter__(self) -> "Counter[str]":
        for client in self._clients:
            client.meta.events.register("before-call", self._count, unique_id="calls")
        return self.made

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.meta.events.unregister("before-call", unique_id="calls")

    def _count(self, model: Any, **_: Any) -> None:
        self.made[model.name] += 1


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watcher(simulated: SimulatedFederation, clock: Clock | None = None, **options: Any) -> Watcher:
    operations = simulated.operations
    return Watcher(
        simulated.name,
        operations.federations,
        operations.rounds_reader,
        operations.progress_of,
        **options | ({"clock": clock} if clock else {}),
    )


@pytest.fixture
def calls(simulated: SimulatedFederation) -> Iterator[Calls]:
    yield Calls(simulated.aws.client("dynamodb"), simulated.aws.client("iot-data"))


def seen(watching: Watcher, what: str, condition: Any) -> View:
    def look() -> View | None:
        view = watching.look()
        return view if condition(view) else None

    return eventually(look, what)


def test_a_round_is_seen_from_its_assignments_to_its_end(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1", "d2"], rounds=2, quorum=1, target="100%")
    watching = watcher(simulated)
    view = watching.look()
    assert (view.round, view.state, view.is_over) == (0, "not started", False)
    assert view.held_by == f"not started: it begins with fedgrass start {simulated.name}"
    simulated.start()
    simulated.opened(1)
    view = watching.look()
    assert (view.round, view.rounds, view.state, view.held_by) == (1, 2, "open", None)
    assert view.devices() == [Device(name=name, state="asked") for name in ("d0", "d1", "d2")]

    simulated.report_progress("d0", 1, "training")
    simulated.report_progress("d1", 1, "uploading")
    assert [one.state for one in watching.look().devices()] == ["training", "uploading", "asked"]
    simulated.report_progress("d2", 1, "failed", "train() of task.py: ValueError: [x]")
    simulated.answer("d0", 1)
    view = seen(watching, "d0's update to count", lambda view: view.devices()[0].state == "counted")
    assert view.devices()[2] == Device(name="d2", state="failed", reason="train() of task.py: ValueError: [x]")
    simulated.answer("d1", 1, after={"loss": 0.25})
    view = seen(watching, "the round to end", lambda view: view.ended)
    (figures,) = view.ended
    assert (figures.round, figures.status, figures.accepted, figures.asked) == (1, "closed", 2, 3)
    assert [(one.thing, one.state, one.reason) for one in figures.failing] == [
        ("d2", "failed", "train() of task.py: ValueError: [x]")
    ]
    assert view.measured()[0]["loss_after"] == pytest.approx(0.25)


def test_who_begins_to_watch_sees_the_last_round_and_the_metrics_of_those_before(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0"], rounds=3)
    simulated.start()
    for number in (1, 2, 3):
        simulated.answer("d0", number, after={"loss": 1 / number})
        simulated.ended(number)
    view = seen(watcher(simulated), "it to be over", lambda view: view.is_over)
    assert [one.round for one in view.ended] == [3]
    assert [one.round for one in view.earlier] == [1, 2]
    assert [one["loss_after"] for one in view.measured()] == [pytest.approx(1 / number) for number in (1, 2, 3)]
    assert view.spent_usd == simulated.round(3).spent_usd
    told: list[int] = []

    def tell(record: RoundRecord, responses: Responses) -> None:
        assert [one.thing for one in responses.accepted] == ["d0"]
        told.append(record.round)

    assert len(watcher(simulated, rounds=9, tell=tell).look().ended) == 3
    assert told == [1, 2, 3]


def test_a_look_costs_two_calls_and_some_shadows_however_many_clients_there_are(
    simulated: SimulatedFederation, clock: Clock, calls: Calls
) -> None:
    things = [f"d{number:02}" for number in range(25)]
    simulated.create(things, rounds=1, target="100%", deadline_s=600)
    simulated.start()
    simulated.opened(1)
    watching = watcher(simulated, clock)
    watching.look()
    asked: Counter[str] = Counter()
    for _ in range(5):
        with calls as made:
            watching.look()
        asked += made
        made.clear()
    assert asked == {"GetItem": 5, "BatchGetItem": 5, "GetThingShadow": 5 * SHADOWS}


def test_each_device_is_asked_in_its_turn(simulated: SimulatedFederation, clock: Clock) -> None:
    things = [f"d{number:02}" for number in range(2 * SHADOWS + 1)]
    simulated.create(things, rounds=1, target="100%", deadline_s=600)
    for thing in things:
        simulated.report_progress(thing, 1, "training")
    simulated.start()
    simulated.opened(1)
    watching = watcher(simulated, clock)
    known = []
    for _ in range(3):
        clock.now += 1
        known.append(sum(one.state == "training" for one in watching.look().devices()))
    assert known == [SHADOWS, 2 * SHADOWS, 2 * SHADOWS + 1]


def test_responses_are_read_again_only_when_some_have_come_and_not_too_often(
    simulated: SimulatedFederation, clock: Clock, calls: Calls
) -> None:
    things = [f"d{number:02}" for number in range(4)]
    simulated.create(things, rounds=1, target="100%", deadline_s=600)
    simulated.start()
    simulated.opened(1)
    watching = watcher(simulated, clock)
    watching.look()

    def counted(number: int) -> None:
        simulated.answer(things[number], 1)
        simulated.accepted_count(1, number + 1)

    counted(0)
    with calls as made:
        watching.look()
        assert made["Query"] == 0, "it is too early for four more"
        clock.now += len(things) / RESPONSES_PER_S
        watching.look()
        assert made["Query"] == 1
        clock.now += 1000
        watching.look()
        assert made["Query"] == 1, "nothing has come"


def test_a_device_that_vanished_is_told_with_what_it_said_last(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1", "d2"], rounds=1, target="100%", quorum=1)
    simulated.start()
    watching = watcher(simulated)
    watching.look()
    simulated.answer("d0", 1)
    simulated.report_progress("d1", 1, "training")
    simulated.accepted_count(1, 1)
    simulated.reach_deadline(1)
    (figures,) = seen(watching, "the round to end", lambda view: view.ended).ended
    assert [(one.thing, one.state, one.reason) for one in figures.failing] == [
        ("d1", "silent", "no answer until the deadline; last heard of: training"),
        ("d2", "silent", "no answer until the deadline; nothing was heard of it"),
    ]


def test_what_a_device_said_of_another_round_or_another_life_is_not_heard(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1, target="100%")
    simulated.report_progress("d0", 7, "training")
    simulated.start()
    simulated.opened(1)
    assert [one.state for one in watcher(simulated).look().devices()] == ["asked", "asked"]


def test_a_round_that_can_not_be_read_is_left_out(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=2)
    simulated.start()
    for number in (1, 2):
        simulated.answer("d0", number)
        simulated.ended(number)
    simulated.set_time(1, "version", 0.5)
    view = watcher(simulated, rounds=9).look()
    assert [one.round for one in view.ended] == [2]


def test_a_federation_that_was_made_anew_is_seen_from_its_beginning(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.start()
    watching = watcher(simulated)
    simulated.answer("d0", 1)
    simulated.ended(1)
    assert seen(watching, "it to be over", lambda view: view.is_over).ended
    simulated.aws.client("dynamodb").delete_item(
        TableName=simulated.deployed.federations_table, Key={"federation": {"S": simulated.name}}
    )
    simulated.create(["d0"], rounds=5)
    view = watching.look()
    assert (view.round, view.rounds, view.ended, view.is_over) == (0, 5, (), False)
