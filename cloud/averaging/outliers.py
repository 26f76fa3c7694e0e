"""Updates whose norms are far from the others': a pure function of what was recorded of them."""

from collections.abc import Sequence

import numpy as np

from cloud.averaging.accepted_updates import AcceptedUpdate

LEAST_UPDATES = 4
"""Of fewer it can't be told which ones are far from the others."""

FAR = 5.0
"""So many standard deviations, as the median absolute deviation estimates them, are far."""

_PER_DEVIATION = 1.4826
_LEAST_SPREAD = 0.05
"""Norms spread by no less than this share of their median: where nearly all are alike, a little more is not far."""

_NAMED = 3


def far_norms(sources: Sequence[AcceptedUpdate]) -> list[str]:
    """The warning of a round with updates whose robust z-score (Iglewicz and Hoaglin, 1993), by median and median
    absolute deviation, is over FAR; the farthest ones are named."""
    if len(sources) < LEAST_UPDATES:
        return []
    norms = np.array([source.norm for source in sources])
    median = float(np.median(norms))
    away = np.abs(norms - median)
    spread = max(_PER_DEVIATION * float(np.median(away)), _LEAST_SPREAD * median)
    far = [client for client in np.argsort(-away, kind="stable") if away[client] > FAR * spread]
    if not far:
        return []
    named = ", ".join(f"{sources[client].thing} {norms[client]:.3g}" for client in far[:_NAMED])
    return [f"norms of {len(far)} updates are far from the median, {median:.3g}: {named}"]
