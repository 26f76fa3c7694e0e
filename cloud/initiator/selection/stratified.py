"""A cohort has of each kind of clients as large a share as the fleet has: each client has the same probability, and
those of one stratum are drawn one after another, so that none is left out by chance.

A client's stratum is the label that it has most of, as its task's `describe` tells (`cloud.averager.round.
report_claims`): no device tells of its labels unless its task does. Those whose stratum is not known are one.
"""

from cloud.initiator.selection.policy import OF_A_COHORT, Candidates, SelectionPolicy, compared
from cloud.initiator.selection.unequal_draw import drawn
from cloud.state.records import ClientRecord


def _choose(candidates: Candidates) -> list[ClientRecord]:
    clients, generator = candidates.clients, candidates.generator
    strata = sorted({client.stratum or "" for client in clients})
    generator.shuffle(strata)  # so that no stratum is always beside the same one
    places = {stratum: place for place, stratum in enumerate(strata)}
    by_chance = generator.sample(range(len(clients)), len(clients))
    order = sorted(by_chance, key=lambda place: places[clients[place].stratum or ""])
    probabilities = [candidates.cohort / len(clients)] * len(clients)
    return [clients[place] for place in drawn(probabilities, order, generator)]


STRATIFIED = SelectionPolicy(settings=OF_A_COHORT, pool=compared, choose=_choose)
