"""Clients of like speed take part together, so that no one waits for slower ones; each tier has its turn (after
FedLesScan: Elzohairy et al., 2022).

Clients that were never asked come first. Those that missed their last rounds come last, until they have rested for one
round, and for twice as many with each further one in a row. All others are ranked by their turnarounds and cut into
TIERS of one size: in each round another one begins, and what it lacks comes from the next slower one. Within a tier
those come first that have waited longest.

FedLesScan finds its tiers by clustering, and moves from fast to slow ones as training goes on: here each one comes in
each TIERS rounds, so that all clients take part about equally often. So updates are not weighed by the draw.
"""

from collections.abc import Sequence

from cloud.initiator.selection.policy import OF_A_COHORT, Candidates, SelectionPolicy, by_turnaround, compared
from cloud.state.records import ClientRecord

TIERS = 5


def _choose(candidates: Candidates) -> Sequence[ClientRecord]:
    shuffled = candidates.generator.sample(list(candidates.clients), len(candidates.clients))
    new = [client for client in shuffled if client.turnaround_s is None and not client.missed]
    resting = [client for client in shuffled if _rests(client, candidates.round_number)]
    apart = {client.thing for client in (*new, *resting)}
    ranked = sorted((client for client in shuffled if client.thing not in apart), key=by_turnaround)
    first = candidates.round_number % TIERS
    tiers = [ranked[len(ranked) * tier // TIERS : len(ranked) * (tier + 1) // TIERS] for tier in range(TIERS)]
    in_turn = [client for tier in (*tiers[first:], *tiers[:first]) for client in _longest_waiting(tier)]
    return (*new, *in_turn, *_longest_waiting(resting))[: candidates.cohort]


def _rests(client: ClientRecord, round_number: int) -> bool:
    return client.missed > 0 and round_number - (client.last_round or 0) <= 2 ** min(client.missed - 1, 30)


def _longest_waiting(clients: Sequence[ClientRecord]) -> list[ClientRecord]:
    """In the order of the last rounds; those of the same one by chance, as they come: Python's sort is stable."""
    return sorted(clients, key=lambda client: client.last_round or 0)


BY_TIERS = SelectionPolicy(settings=OF_A_COHORT, pool=compared, choose=_choose)
