"""How far the updates of a round are from each other: what rules that select clients by it are given.

Shards add up the Gram matrix of the updates: see `cloud.averaging.robust`.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cloud.averaging import robust
from cloud.averaging.blocks import Block
from cloud.averaging.update_rows import Updates, scale
from cloud.averaging.weights import Weighing


def gram(updates: Updates, blocks: Iterable[Block], weighing: Weighing) -> NDArray[np.float64]:
    """The inner products of the clients' scaled parameters at the next blocks, as `robust.gram` has them: float64
    [clients, clients], whose sum over all blocks is exact in whatever order."""
    total = np.zeros((len(updates.clients), len(updates.clients)))
    for block in blocks:
        parameters = np.empty((len(updates.clients), block.n_parameters), np.float32)
        first = 0
        for rows in updates.of(block):
            scale(rows, weighing, parameters[first : first + len(rows.clients)])
            first += len(rows.clients)
        total += robust.gram(parameters, weighing.norms)
    return total
