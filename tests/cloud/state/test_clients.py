"""cloud/state/clients.py on the embedded AWS."""

from collections import Counter
from typing import Any

from cloud.state.clients import ClientHistory, Clients
from sandbox.simulated_clients import HELLO
from tests.cloud.simulated import SimulatedFederation


def history(thing: str, **fields: Any) -> ClientHistory:
    return ClientHistory(**{"thing": thing, "turnaround_s": None, "missed": 0, "last_round": 1} | fields)


def test_the_last_reason_stays_while_a_client_is_waited_for_and_goes_when_an_update_of_it_counts(
    simulated: SimulatedFederation,
) -> None:
    simulated.create([], rounds=1)
    clients = simulated.operations.clients
    clients.greet(simulated.name, "d0", HELLO, 1.0)

    def taught(**fields: Any) -> tuple[int | None, str | None]:
        clients.record_histories(simulated.name, [history("d0", **fields)])
        (client,) = clients.of(simulated.name)
        return client.last_round, client.last_reason

    assert taught(last_reason="failed: out of memory") == (1, "failed: out of memory")
    assert taught(last_round=None) == (1, "failed: out of memory")
    assert taught(last_round=3) == (3, None)


def test_what_a_round_writes_of_a_client_that_was_forgotten_is_no_client_before_its_next_hello(
    simulated: SimulatedFederation,
) -> None:
    simulated.create([], rounds=1)
    clients, name = simulated.operations.clients, simulated.name
    clients.greet(name, "d0", HELLO, 1.0)
    assert clients.forget(name, "d0") is True
    assert clients.forget(name, "d0") is False
    clients.record_histories(name, [history("d0", missed=2)])
    assert (clients.of(name), list(clients.each(name))) == ([], [])
    clients.greet(name, "d0", HELLO, 2.0)
    (client,) = clients.of(name)
    assert (client.missed, client.nucleus) == (2, HELLO.nucleus)


def test_clients_are_read_page_by_page_as_they_are_asked_for(simulated: SimulatedFederation) -> None:
    simulated.create([], rounds=1)
    dynamodb, calls = simulated.aws.client("dynamodb"), Counter[str]()
    dynamodb.meta.events.register("before-send", lambda event_name, **_: calls.update([event_name]))
    clients = Clients(dynamodb, simulated.deployed.clients_table)
    names = [f"d{number}" for number in range(7)]
    for thing in names:
        clients.greet(simulated.name, thing, HELLO, 1.0)
    calls.clear()
    read = clients.each(simulated.name, at_once=2)
    assert [next(read).thing for _ in range(3)] == names[:3]
    assert calls.total() == 2
    assert [client.thing for client in clients.each(simulated.name, after="d4")] == names[5:]
