"""Clients are drawn by how much they matter for the time that they take, and count by the inverse of that: fast clients
take part more often, and what is averaged is nevertheless what all clients would make of it.

The probability of a client is in proportion to p * G / sqrt(t), where p is its share of the data, G the norm of its
last update and t its average turnaround (Luo et al., INFOCOM 2022; for G, Chen et al., Optimal Client Sampling,
2022). With each round in a row that it missed it is halved. A share of the probability is the same for all:
no one is starved, and no one counts for more than 1 / FLOOR times what it would in a draw of equals.

Clients are drawn in the order of their turnarounds: so each cohort has about as many of each speed, and of whatever
goes with speed, as data and labels often do.
"""

import math
import statistics
from collections.abc import Sequence

from cloud.averaging.weighing import counts_of
from cloud.initiator.selection.policy import OF_A_COHORT, Candidates, SelectionPolicy, compared
from cloud.initiator.selection.unequal_draw import drawn, inclusions
from cloud.state.records import ClientRecord

FLOOR = 0.3
"""Of the probability that a client would have in a draw of equals, it has this share at least."""

RATIO = 10.0
"""So far apart from the median's norms and turnarounds count, up and down: an update may be of any norm."""


def _inclusions(candidates: Candidates) -> list[float]:
    return inclusions(_preferences(candidates), candidates.cohort)


def _choose(candidates: Candidates) -> list[ClientRecord]:
    clients, generator = candidates.clients, candidates.generator
    by_chance = generator.sample(range(len(clients)), len(clients))
    order = sorted(by_chance, key=lambda place: clients[place].turnaround_s or 0.0)
    return [clients[place] for place in drawn(_inclusions(candidates), order, generator)]


def _preferences(candidates: Candidates) -> list[float]:
    """The clients' preferences. A client that was never measured has the highest, so that it gets measured."""
    clients = candidates.clients
    known = [client.examples for client in clients if client.examples]
    usual = statistics.median_low(known) if known else 1
    counts = counts_of(candidates.averaging, [client.examples or usual for client in clients])
    norms = _relative([client.norm for client in clients])
    times = _relative([client.turnaround_s for client in clients])
    measured = [
        None if time is None else count * (1.0 if norm is None else norm) / math.sqrt(time)
        for count, norm, time in zip(counts, norms, times, strict=True)
    ]
    highest = max((preference for preference in measured if preference is not None), default=1.0)
    preferences = [
        (highest if preference is None else preference) * math.ldexp(1.0, -client.missed)
        for preference, client in zip(measured, clients, strict=True)
    ]
    mean = math.fsum(preferences) / len(preferences)
    if mean == 0:
        return [1.0] * len(preferences)
    return [FLOOR + (1 - FLOOR) * preference / mean for preference in preferences]


def _relative(values: Sequence[float | None]) -> list[float | None]:
    """Values as multiples of their median, at most RATIO of it, and at least its inverse."""
    known = [value for value in values if value is not None]
    median = statistics.median(known) if known else 0.0
    if not 0 < median < math.inf:
        return [None if value is None else 1.0 for value in values]
    return [None if value is None else min(max(value / median, 1 / RATIO), RATIO) for value in values]


BALANCED = SelectionPolicy(settings=OF_A_COHORT, pool=compared, choose=_choose, inclusions=_inclusions)
