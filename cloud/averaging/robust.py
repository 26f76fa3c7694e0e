"""Averaging rules that a few bad clients cannot spoil. Pure functions over blocks: a row a client, a column a
coordinate.

Any split of the coordinates into blocks gives the same bits. Clients count alike: a weight would be the client's own
word on how much it should count for.

Krum needs the distances between whole updates, so shards add up the Gram matrix of the updates. Each update is rounded
to multiples of a unit of its own: a power of two, about 2^-26 of its norm. Then all sums of products stay below 2^53
(by the inequality of Cauchy and Schwarz): float64 has them exactly, whatever the order of additions.
"""

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Values = NDArray[np.float64]

_AT_ONCE = 1 << 17
"""So many numbers are sorted or multiplied at a time: they stay in the processor's cache."""

_UNITS_LOG2 = 26


def coordinate_median(values: Matrix | Values) -> Values:
    """The median of each column (Yin et al., 2018, algorithm 1, option I); of an even number, the mean of the middle
    two.

    `values` is [clients, coordinates], finite.
    """
    return trimmed_mean(values, 0.5)


def trimmed_mean(values: Matrix | Values, share: float) -> Values:
    """The mean of each column without its `trimmed_count` largest and smallest values (Yin et al., 2018, algorithm 1,
    option II). `values` is [clients, coordinates], finite."""
    clients, coordinates = values.shape
    trimmed = trimmed_count(clients, share)
    remaining = clients - 2 * trimmed
    mean = np.empty(coordinates)
    # Rows that are a power of two apart, as those of `values` may be, do not all find a place in the cache.
    columns = max(1, _AT_ONCE // clients) | 1
    for first in range(0, coordinates, columns):
        part = slice(first, first + columns)
        by_client = np.add(values[:, part], np.float32(0))  # a negative zero would sort in no certain order
        by_coordinate = by_client.T.copy()
        by_coordinate.sort(axis=1)
        middle = by_coordinate[:, trimmed : clients - trimmed].T.astype(np.float64, order="C")
        total = mean[part]
        total[:] = middle[0]
        for row in middle[1:]:
            total += row
        total /= remaining
    return mean


def trimmed_count(clients: int, share: float) -> int:
    """How many values are left out at each end: `share` of the clients, rounded up, since so many may be bad; but at
    least one value stays, of an even number two."""
    return min(math.ceil(share * clients - 1e-9), (clients - 1) // 2)


def gram(values: Matrix, norms: Values) -> Values:
    """The inner products of the clients' rows, in their units: exact integers, [clients, clients]. The sum over blocks
    is that of the whole updates, of which `norms` are the L2 norms.

    `values` is [clients, coordinates], finite.
    """
    clients, coordinates = values.shape
    per_unit = 1 / _units(norms)[:, None]
    products = np.zeros((clients, clients))
    columns = max(1, _AT_ONCE // clients)
    for first in range(0, coordinates, columns):
        multiples = values[:, first : first + columns] * per_unit
        np.rint(multiples, out=multiples)
        products += multiples @ multiples.T
    return products


def squared_distances(products: Values, norms: Values) -> Values:
    """The squared distances between updates, [clients, clients], from the sum of their blocks' `gram`: symmetric, none
    negative, and 0 between equals."""
    units = _units(norms)
    squares = np.diagonal(products) * units**2
    distances = squares[:, None] + squares[None, :] - 2 * (products * (units[:, None] * units[None, :]))
    return np.maximum(distances, 0)


def _units(norms: Values) -> Values:
    """Powers of two, of which each norm is at most 2^26; for norms of float32 numbers neither they nor their squares
    leave the range of float64."""
    _, exponents = np.frexp(norms)
    units: Values = np.ldexp(1.0, exponents - _UNITS_LOG2)
    return units


def krum_scores(distances: Values, byzantine: int) -> Values:
    """Each client's sum of squared distances to its nearest others (Blanchard et al., 2017, section 4): all but itself,
    `byzantine` and one more, at least one. Their guarantee needs 2 * byzantine + 3 clients."""
    clients = len(distances)
    nearest = min(max(clients - byzantine - 2, 1), clients - 1)
    others = distances + np.diag(np.full(clients, np.inf))
    others.sort(axis=1)
    scores: Values = others[:, :nearest].sum(axis=1)
    return scores


def krum(distances: Values, byzantine: int, selected: int = 1) -> list[int]:
    """The clients of the lowest scores, in their own order: one is Krum, more are multi-Krum. Of clients that score
    alike, the first ones."""
    order = np.argsort(krum_scores(distances, byzantine), kind="stable")
    return sorted(int(index) for index in order[:selected])


def clipping_factors(norms: Values, limit: float) -> Values:
    """What to multiply each update by, so that its norm is at most `limit`: min(1, limit / norm)."""
    return limit / np.maximum(norms, limit)
