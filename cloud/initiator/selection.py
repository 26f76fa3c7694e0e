"""Who takes part in a round: pure functions over the clients' records."""

import random
from collections.abc import Callable, Sequence

from cloud.custom_policies import InvalidPolicyError, call
from cloud.settings import MAX_COHORT, Selection, cohort_of
from cloud.state.records import ClientRecord, CohortMember
from cloud.state.views import client_view


class NotEnoughClientsError(Exception):
    """Fewer clients than a round needs."""


def select(
    clients: Sequence[ClientRecord],
    selection: Selection,
    round_number: int,
    choose_clients: Callable[..., object] | None = None,
    busy: Sequence[CohortMember] = (),
) -> tuple[CohortMember, ...]:
    """The cohort of a round, in the order of the things' names, with as many more as are expected to drop out. The same
    arguments always give the same cohort.

    Clients that are `busy` for an earlier round belong to it, and others are selected as far as it has room for them.
    Of more than a round can have, so many are drawn.

    Raises:
        NotEnoughClientsError: there are fewer than `selection.minimum`.
        InvalidPolicyError: a custom policy chose no one, a stranger, or someone twice.
    """
    if len(clients) < selection.minimum:
        raise NotEnoughClientsError(f"round {round_number} needs {selection.minimum} clients; {len(clients)} are there")
    cohort = cohort_of(selection, len(clients))
    working = {member.thing for member in busy}
    idle = [client for client in clients if client.thing not in working]
    free = _chosen(idle, selection, cohort - len(busy), round_number, choose_clients)
    room = MAX_COHORT - len(busy)
    if len(free) > room:
        free = _generator(selection, round_number).sample(list(free), room)
    selected = (CohortMember(thing=c.thing, turnaround_s=c.turnaround_s, missed=c.missed) for c in free)
    return tuple(sorted((*busy, *selected), key=lambda member: member.thing))


def _chosen(
    clients: Sequence[ClientRecord],
    selection: Selection,
    cohort: int,
    round_number: int,
    choose_clients: Callable[..., object] | None,
) -> Sequence[ClientRecord]:
    if not clients or cohort <= 0:
        return ()
    generator = _generator(selection, round_number)
    if selection.policy == "custom":
        return _custom(clients, cohort, round_number, choose_clients)
    if selection.policy == "random":
        return generator.sample(list(clients), cohort)
    if selection.policy == "fastest":
        return sorted(clients, key=_turnaround)[:cohort]
    if selection.policy == "probabilistic":
        return _probabilistic(clients, generator)
    return clients


def _generator(selection: Selection, round_number: int) -> random.Random:
    return random.Random(f"{selection.seed}/{round_number}")  # noqa: S311 - reproducible, not secret


def _turnaround(client: ClientRecord) -> tuple[float, str]:
    """Clients that were never measured come first, so that they get measured."""
    return (client.turnaround_s if client.turnaround_s is not None else 0.0, client.thing)


def _probabilistic(clients: Sequence[ClientRecord], generator: random.Random) -> list[ClientRecord]:
    """Each client takes part with probability 1 - t / t_max, where t is its average turnaround (never measured: 0).

    This is the rule of the system that fedgrass replaces, kept for comparison: it never picks the slowest client, and
    leaves the cohort's size to chance. When chance picks no one, the fastest takes part, since a round needs someone.
    """
    times = {client.thing: client.turnaround_s or 0.0 for client in clients}
    slowest = max(times.values())
    chosen = [c for c in clients if slowest == 0 or generator.random() < 1 - times[c.thing] / slowest]
    return chosen or [min(clients, key=_turnaround)]


def _custom(
    clients: Sequence[ClientRecord], cohort: int, round_number: int, choose: Callable[..., object] | None
) -> list[ClientRecord]:
    if choose is None:
        raise InvalidPolicyError("selection.policy is custom, but no choose_clients was loaded")
    chosen: list[str] = call(choose, list[str], [client_view(client) for client in clients], cohort, round_number)
    by_thing = {client.thing: client for client in clients}
    strangers = [thing for thing in chosen if thing not in by_thing]
    if strangers or not chosen or len(set(chosen)) < len(chosen):
        raise InvalidPolicyError(
            "policies.py: choose_clients must return the names of one or more of its clients, each once; "
            f"it returned {chosen}"
        )
    return [by_thing[thing] for thing in chosen]
