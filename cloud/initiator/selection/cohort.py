"""Who takes part in a round: pure functions over the clients' records."""

import random
from collections.abc import Callable, Sequence

from cloud.initiator.selection import selection_policy_of
from cloud.initiator.selection.policy import Candidates
from cloud.settings import MAX_COHORT, Selection, cohort_of
from cloud.state.records import ClientRecord, CohortMember


class NotEnoughClientsError(Exception):
    """Fewer clients than a round needs."""


def select(
    clients: Sequence[ClientRecord],
    selection: Selection,
    round_number: int,
    choose_clients: Callable[..., object] | None = None,
    busy: Sequence[CohortMember] = (),
    known: int | None = None,
) -> tuple[CohortMember, ...]:
    """The cohort of a round, in the order of the things' names, with as many more as are expected to drop out. The same
    arguments always give the same cohort.

    Clients that are `busy` for an earlier round belong to it, and others are selected as far as it has room for them.
    Of more than a round can have, so many are drawn. If the clients were drawn from a larger fleet (`drawing.py`),
    `known` is how many they stand for.

    Raises:
        NotEnoughClientsError: there are fewer than `selection.minimum`.
        InvalidPolicyError: a custom policy chose no one, a stranger, or someone twice.
    """
    known = len(clients) if known is None else known
    if known < selection.minimum:
        raise NotEnoughClientsError(f"round {round_number} needs {selection.minimum} clients; {known} are there")
    cohort = cohort_of(selection, known)
    busy_things = {member.thing for member in busy}
    idle = [client for client in clients if client.thing not in busy_things]
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
    cohort = min(cohort, len(clients))
    if cohort <= 0:
        return ()
    candidates = Candidates(
        clients=clients,
        cohort=cohort,
        round_number=round_number,
        generator=_generator(selection, round_number),
        choose_clients=choose_clients,
    )
    return selection_policy_of(selection.policy).choose(candidates)


def _generator(selection: Selection, round_number: int) -> random.Random:
    return random.Random(f"{selection.seed}/{round_number}")  # noqa: S311 - reproducible, not secret
