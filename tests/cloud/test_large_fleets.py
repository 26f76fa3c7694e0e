"""Fleets that are too large to be read for each round, on the embedded AWS."""

import time

import pytest

from cloud.initiator import handler
from cloud.initiator.fleet import KEPT_AT_ONCE
from cloud.initiator.opening import open_round
from cloud.initiator.selection.cohort import select
from cloud.initiator.selection.drawing import pool_of
from cloud.initiator.selection.policy import WHOLE_FLEET
from cloud.state.clients import COUNTED_S, Census, ClientHistory
from cloud.state.records import ClientRecord, FleetCount, RoundRecord
from sandbox.many_clients import put_clients
from sandbox.own_services import OwnServices
from tests.cloud.simulated import SimulatedFederation

SIZE = WHOLE_FLEET + 500


def clients_of(federation: str, size: int = SIZE) -> dict[str, ClientRecord]:
    """So many clients that were never seen in a round."""
    things = [f"t{number:05d}" for number in range(size)]
    return {thing: ClientRecord(federation=federation, thing=thing, last_seen=1.0, examples=10) for thing in things}


class Initiator:
    """The initiator, in this process, of a federation that no other opens rounds of."""

    def __init__(self, simulated: SimulatedFederation) -> None:
        self.own = OwnServices(simulated.aws, simulated.deployed, 8)
        self._simulated = simulated

    def put(self, *clients: ClientRecord, placed: bool = True) -> None:
        put_clients(
            self._simulated.aws.client("dynamodb"), self._simulated.deployed.clients_table, clients, placed=placed
        )

    def open(self) -> RoundRecord:
        """Open the first round."""
        record = self.own.operations.federations.change_status(self._simulated.name, "running", ("ready", "running"))
        open_round(self.own.services, record.next_round)
        return self._simulated.opened(1)

    @property
    def fleet(self) -> FleetCount | None:
        return self.own.operations.federations.get(self._simulated.name).fleet

    def tell(self, fleet: FleetCount) -> None:
        """Have it know this of the fleet."""
        federations = self.own.operations.federations
        federations.set_fleet(federations.get(self._simulated.name), fleet)


@pytest.fixture
def initiator(simulated: SimulatedFederation) -> Initiator:
    return Initiator(simulated)


def test_a_round_draws_its_cohort_without_reading_the_fleet(
    simulated: SimulatedFederation, initiator: Initiator
) -> None:
    clients = clients_of(simulated.name)
    simulated.create([], selection={"policy": "random", "cohort": 3}, target="100%", rounds=1)
    initiator.put(*clients.values())
    initiator.tell(FleetCount(clients=SIZE, counted_at=time.time(), placed=True))
    settings = initiator.own.operations.federations.get(simulated.name).settings
    pool = pool_of(clients, settings, 1)
    expected = [member.thing for member in select(pool.clients, settings.selection, 1, known=pool.known)]
    for thing in expected:
        simulated.register(thing)
    initiator.own.calls.clear()
    opened = initiator.open()
    assert [member.thing for member in opened.cohort] == expected
    assert (opened.target, len(opened.cohort)) == (3, 3)
    assert initiator.own.calls["BatchGetItem"] <= 3
    assert 4 <= initiator.own.calls["Query"] <= 8


def test_a_fleet_that_is_found_to_be_large_is_counted_and_that_is_kept(
    simulated: SimulatedFederation, initiator: Initiator
) -> None:
    simulated.create([], selection={"policy": "fastest", "cohort": "0.1%"}, rounds=1)
    initiator.put(*clients_of(simulated.name).values())
    assert initiator.fleet is None
    assert len(initiator.open().cohort) == 5
    assert initiator.fleet is not None
    assert (initiator.fleet.clients, initiator.fleet.placed) == (SIZE, True)


def test_clients_of_an_earlier_version_take_part_at_once_and_get_their_places_by_and_by(
    simulated: SimulatedFederation, initiator: Initiator
) -> None:
    clients = list(clients_of(simulated.name).values())
    old = clients[: KEPT_AT_ONCE + 10]
    simulated.create([], selection={"policy": "random", "cohort": 300}, rounds=1)
    initiator.put(*clients[len(old) :])
    initiator.put(*old, placed=False)
    cohort = {member.thing for member in initiator.open().cohort}
    # As many as chance makes it.
    assert len(cohort & {client.thing for client in old}) == pytest.approx(300 * len(old) / SIZE, rel=0.5)
    assert initiator.fleet is not None
    assert not initiator.fleet.placed
    wake(initiator)
    assert not initiator.own.operations.clients.census(simulated.name).to_keep
    wake(initiator)
    assert initiator.fleet.placed


def wake(initiator: Initiator) -> None:
    """What the schedule does every five minutes."""
    assert handler.handle({"kind": "wake"}, None, initiator.own.services) == {}


@pytest.mark.parametrize("counted", [10 * SIZE, 10])
def test_a_count_that_is_wrong_is_repaired_by_the_round_that_finds_it_out(
    simulated: SimulatedFederation, initiator: Initiator, counted: int
) -> None:
    simulated.create([], selection={"policy": "random", "cohort": "0.1%"}, rounds=1)
    initiator.put(*clients_of(simulated.name).values())
    initiator.tell(FleetCount(clients=counted, counted_at=time.time() - 1, placed=True))
    assert len(initiator.open().cohort) == 5
    assert initiator.fleet is not None
    assert initiator.fleet.clients == SIZE


def test_a_fleet_that_has_become_small_is_read_whole_again(
    simulated: SimulatedFederation, initiator: Initiator
) -> None:
    things = ["d0", "d1", "d2"]
    simulated.create(things, selection={"policy": "all"}, rounds=1)
    initiator.tell(FleetCount(clients=SIZE, counted_at=time.time() - COUNTED_S - 1, placed=True))
    assert [member.thing for member in initiator.open().cohort] == things
    assert initiator.fleet is None


def test_who_is_expelled_or_would_expire_is_drawn_as_in_a_small_fleet(
    simulated: SimulatedFederation, initiator: Initiator
) -> None:
    simulated.say_hello("early")
    assert simulated.client("early").expires_at is not None
    simulated.create(["d0", "d1"], selection={"policy": "all"}, rounds=1)
    simulated.expel("d1")
    initiator.tell(FleetCount(clients=SIZE, counted_at=0.0, placed=True))
    simulated.register("early")
    opened = initiator.open()
    assert [member.thing for member in opened.cohort] == ["d0", "early"]
    assert opened.target <= 2
    assert simulated.client("early").expires_at is None


def test_a_client_that_was_forgotten_is_neither_counted_nor_drawn_for_what_a_round_still_wrote_of_it(
    simulated: SimulatedFederation, initiator: Initiator
) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    clients = initiator.own.operations.clients
    assert clients.forget(simulated.name, "d1")
    clients.record_histories(simulated.name, [ClientHistory(thing="d1", turnaround_s=1.0, missed=0, last_round=1)])
    assert clients.census(simulated.name) == Census(clients=1, to_keep=())
    assert [client.thing for client in clients.these(simulated.name, ["d0", "d1", "d2"])] == ["d0"]
    small = clients.of_small(simulated.name, 1)
    assert small is not None
    assert [client.thing for client in small] == ["d0"]
