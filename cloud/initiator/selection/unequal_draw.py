"""Draws of a fixed size, in which each client has its own probability. Pure."""

import math
import random
from collections.abc import Iterable, Sequence


def inclusions(preferences: Sequence[float], size: int) -> list[float]:
    """The probabilities of so many draws without replacement: in proportion to these preferences, all above 0, but none
    over 1. They add up to `size`, which is no more than there are."""
    by_preference = sorted(range(len(preferences)), key=lambda place: -preferences[place])
    left = [math.fsum(preferences)]
    for place in by_preference:
        left.append(left[-1] - preferences[place])
    certain = 0
    while certain < size and preferences[by_preference[certain]] * (size - certain) >= left[certain]:
        certain += 1
    uncertain = by_preference[certain:]
    total = math.fsum(preferences[place] for place in uncertain)
    found = [1.0] * len(preferences)
    for place in uncertain:
        found[place] = min(1.0, preferences[place] * (size - certain) / total)
    return found


def drawn(probabilities: Sequence[float], order: Iterable[int], generator: random.Random) -> list[int]:
    """Places that are drawn, each with its probability; as many as these add up to, a whole number.

    The pivotal method (Deville and Tillé, 1998): one after another in this `order`, of two places one is
    decided on at a time, and the other takes what is left of both probabilities. So of places that are beside each
    other about as many are drawn as their probabilities add up to.
    """
    selected: list[int] = []
    rival, chance = -1, 0.0
    for place in order:
        own = probabilities[place]
        together = chance + own
        if together < 1:
            rival = place if generator.random() * together < own else rival
            chance = together
        else:
            wins = generator.random() * (2 - together) >= 1 - own
            winner, rival = (place, rival) if wins else (rival, place)
            selected.append(winner)
            chance = together - 1
    if chance > 0.5:  # it is 0 or 1 but for rounding
        selected.append(rival)
    return selected
