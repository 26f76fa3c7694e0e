"""Clients with the highest utility take part: how much they have to teach, less if they are slow, more if it is long
ago that they were asked (Lai et al., Oort, OSDI 2021, algorithm 1). A share of the cohort are clients that were never
measured.

The utility of a client is |B| * loss, as its last report had them, of which those above the 95th percentile count as
that; plus, as a share of its range, sqrt(0.1 * ln(round) / last round); times (T / t)^2 of one whose turnaround t is
over T, the one that 30 % of the clients keep. It is halved with each round in a row that the client missed. Of those
within 5 % of the last one that would be selected, clients are drawn by their utility.

What Oort does beside: it adapts T to what is learned, prefers fast devices among those it never asked, and leaves out
devices that it has asked often. The draw is biased towards what is hard to learn: updates are not weighed by it.
"""

import math
import sys
from collections.abc import Sequence

from cloud.initiator.selection.policy import OF_A_COHORT, Candidates, SelectionPolicy, compared
from cloud.state.records import ClientRecord

EXPLORED, EXPLORED_DECAY, LEAST_EXPLORED = 0.9, 0.98, 0.3
"""The share of never measured clients in the first round, what it is multiplied by in each, and what it is at least."""

CLIPPED_AT = 0.95
PREFERRED_AT = 0.3
SLOWNESS = 2.0
CONFIDENCE = 0.1
CUT_OFF = 0.95


def _choose(candidates: Candidates) -> list[ClientRecord]:
    generator, size = candidates.generator, candidates.cohort
    new = [client for client in candidates.clients if client.turnaround_s is None and not client.missed]
    known = [client for client in candidates.clients if client.turnaround_s is not None or client.missed]
    share = max(LEAST_EXPLORED, EXPLORED * EXPLORED_DECAY**candidates.round_number)
    exploring = max(min(len(new), math.ceil(share * size)), size - len(known))
    chosen = generator.sample(new, exploring)
    wanted = size - exploring
    if not wanted:
        return chosen
    utilities = _utilities(known, candidates.round_number)
    ranked = sorted(range(len(known)), key=lambda place: (-utilities[place], known[place].thing))
    least = CUT_OFF * utilities[ranked[wanted - 1]]
    within = [place for place in ranked if utilities[place] >= least]
    # Of these by their utility, without replacement (Efraimidis and Spirakis, 2006).
    keys = {place: math.log(1 - generator.random()) / max(utilities[place], 1e-300) for place in within}
    return chosen + [known[place] for place in sorted(within, key=lambda place: -keys[place])[:wanted]]


def _utilities(known: Sequence[ClientRecord], round_number: int) -> list[float]:
    losses = [client.loss for client in known if client.loss is not None]
    usual = _percentile(losses, 0.5) if losses else 1.0
    told = [(client.examples or 1) * (usual if client.loss is None else client.loss) for client in known]
    clipped = min(_percentile(told, CLIPPED_AT), sys.float_info.max)
    gains = [min(gain, clipped) for gain in told]
    least, span = min(gains), max(gains) - min(gains)
    preferred_s = _percentile([client.turnaround_s or 0.0 for client in known], PREFERRED_AT)
    found = []
    for client, gain in zip(known, gains, strict=True):
        learned = (gain - least) / span if span > 0 else 1.0
        waited = math.sqrt(CONFIDENCE * math.log(max(round_number, 1)) / max(client.last_round or 1, 1))
        turnaround_s = client.turnaround_s or 0.0
        speed = (preferred_s / turnaround_s) ** SLOWNESS if turnaround_s > preferred_s else 1.0
        found.append((learned + waited) * speed * math.ldexp(1.0, -client.missed))
    return found


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


OORT = SelectionPolicy(settings=OF_A_COHORT, pool=compared, choose=_choose)
