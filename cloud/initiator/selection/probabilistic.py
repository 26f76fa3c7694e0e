"""Each client takes part with probability 1 - t / t_max, where t is its average turnaround (never measured: 0).

This is the policy of the system that fedgrass replaces, kept for comparison: it never picks the slowest client, and
leaves the cohort's size to chance. When chance picks no one, the fastest takes part, since a round needs someone.
"""

from cloud.initiator.selection.policy import Candidates, SelectionPolicy, by_turnaround, compared
from cloud.state.records import ClientRecord


def _choose(candidates: Candidates) -> list[ClientRecord]:
    times = {client.thing: client.turnaround_s or 0.0 for client in candidates.clients}
    slowest = max(times.values())
    chosen = [
        client
        for client in candidates.clients
        if slowest == 0 or candidates.generator.random() < 1 - times[client.thing] / slowest
    ]
    return chosen or [min(candidates.clients, key=by_turnaround)]


PROBABILISTIC = SelectionPolicy(pool=compared, choose=_choose)
