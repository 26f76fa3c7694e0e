"""Who takes part in a round: pure functions over the clients' records."""

import random
from collections.abc import Callable, Sequence

from cloud.initiator.selection import selection_policy_of
from cloud.initiator.selection.policy import Candidates, SelectionPolicy
from cloud.settings import MAX_COHORT, Averaging, Selection, cohort_of
from cloud.state.records import ClientRecord, CohortMember

_DEFAULT = Averaging()


class NotEnoughClientsError(Exception):
    """Fewer clients than a round needs."""


def select(
    clients: Sequence[ClientRecord],
    selection: Selection,
    round_number: int,
    choose_clients: Callable[..., object] | None = None,
    busy: Sequence[CohortMember] = (),
    known: int | None = None,
    averaging: Averaging = _DEFAULT,
) -> tuple[CohortMember, ...]:
    """The cohort of a round, in the order of the things' names, with as many more as are expected to drop out. The same
    arguments always give the same cohort.

    Clients that are `busy` for an earlier round belong to it, and others are selected as far as it has room for them.
    Of more than a round can have, so many are drawn. If the clients were drawn from a larger fleet (`drawing.py`),
    `known` is how many they stand for. `averaging` says what their updates will count for.

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
    candidates = Candidates(
        clients=idle,
        cohort=min(cohort - len(busy), len(idle)),
        round_number=round_number,
        generator=_generator(selection, round_number),
        averaging=averaging,
        choose_clients=choose_clients,
    )
    free = _chosen(candidates, selection_policy_of(selection.policy)) if candidates.cohort > 0 else []
    room = MAX_COHORT - len(busy)
    if len(free) > room:
        free = _generator(selection, round_number).sample(free, room)
    return tuple(sorted((*busy, *free), key=lambda member: member.thing))


def _chosen(candidates: Candidates, policy: SelectionPolicy) -> list[CohortMember]:
    inclusions = {}
    if policy.inclusions is not None:
        drawn = zip(candidates.clients, policy.inclusions(candidates), strict=True)
        inclusions = {client.thing: inclusion for client, inclusion in drawn if inclusion < 1}
    return [
        CohortMember(
            thing=client.thing,
            turnaround_s=_short(client.turnaround_s),
            missed=client.missed,
            inclusion=_short(inclusions.get(client.thing)),
        )
        for client in policy.choose(candidates)
    ]


def _short(number: float | None) -> float | None:
    """In few digits: all of a cohort has to fit into an item of DynamoDB."""
    return None if number is None else float(f"{number:.6g}")


def _generator(selection: Selection, round_number: int) -> random.Random:
    return random.Random(f"{selection.seed}/{round_number}")  # noqa: S311 - reproducible, not secret
