"""Weighted sums of many updates, block by block.

Every sum is float64 and taken number by number in the order of the clients' names, so that its bits depend on nothing
else: not on the order of arrival, nor on shards or blocks. ROWS clients are added up at a time, GROUP in a group, and
then the groups: so a second level of invocations, each with some of the groups, gives the same bits as well.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.averaging.accepted_updates import Reader, Request
from cloud.averaging.blocks import Block, Run
from cloud.averaging.update_rows import ROWS, Rows, Updates
from cloud.averaging.weights import Weighing, Weights

GROUP = 64
"""So many clients are added up in a group."""

Sums = NDArray[np.float64]


def groups_of(clients: Sequence[int]) -> list[Sequence[int]]:
    """Clients in the groups that they are added up in."""
    return [clients[start : start + GROUP] for start in range(0, len(clients), GROUP)]


class BlockSums(NamedTuple):
    """The weighted sums of some clients' changes at a block, and the least and the largest change of each value:
    float64 [n_parameters], and thrice [n_values]. `last` is what they change of the sum of all clients' last updates:
    [n_parameters], or nothing if there is none. `all` has them one after another."""

    all: Sums
    parameters: Sums
    last: Sums
    values: Sums
    least: Sums
    largest: Sums


def size_of_sums(block: Block, *, has_last: bool) -> int:
    """How many numbers the sums at a block are."""
    return block.n_parameters * (1 + has_last) + 3 * block.n_values


class SumsSpace:
    """Sums of one block after another, in the same memory: fresh pages for each would cost as much as the sums."""

    def __init__(self, *, has_last: bool) -> None:
        self._has_last = has_last
        self._space = np.empty(0)

    def of(self, block: Block) -> BlockSums:
        """Space for a block's sums, which holds whatever was there before."""
        size = size_of_sums(block, has_last=self._has_last)
        if len(self._space) < size:
            self._space = np.empty(size)
        whole = self._space[:size]
        past_last = size - 3 * block.n_values
        ends = [block.n_parameters, *(past_last + count * block.n_values for count in range(3))]
        return BlockSums(whole, *np.split(whole, ends))


class GroupSums:
    """The weighted sums of clients, by groups. Parameters are divided by `total`, the weight of all clients of the
    mean, before they are added. Values are divided at the end, as their mean may be half-way between two integers."""

    def __init__(self, updates: Updates, weighing: Weighing, total: float) -> None:
        self._updates = updates
        self._shares = weighing.weights / total * weighing.scales
        self.has_last = weighing.sum_weights is not None
        self._sum_weights = np.empty(0) if weighing.sum_weights is None else weighing.sum_weights * weighing.scales
        self._value_weights = weighing.value_weights
        self._integer_limit = weighing.integer_limit
        self.groups = -(-len(updates.clients) // GROUP)
        self._space = SumsSpace(has_last=self.has_last)
        self._product = np.empty(0)

    def of(self, block: Block) -> Iterator[BlockSums]:
        """The sums of each group of clients at the next block: there until the next ones are asked for."""
        runs = list(block.runs())
        changes = self._updates.of(block)
        for _ in range(self.groups):
            sums = self._space.of(block)
            sums.least.fill(np.inf)
            sums.largest.fill(-np.inf)
            for place, rows in enumerate(itertools.islice(changes, GROUP // ROWS)):
                for run in runs:
                    if run.kind == "parameter":
                        part = slice(run.start, run.end)
                        shares = self._shares[rows.clients]
                        self._add(shares, rows.parameters[:, part], sums.parameters[part], is_first=not place)
                        if self.has_last:
                            weights = self._sum_weights[rows.clients]
                            self._add(weights, rows.parameters[:, part], sums.last[part], is_first=not place)
                    else:
                        self._add_values(self._value_weights[rows.clients], rows, run, sums, is_first=not place)
            yield sums

    def _add_values(self, weights: Weights, rows: Rows, run: Run, sums: BlockSums, *, is_first: bool) -> None:
        part = slice(run.start, run.end)
        values = rows.values(run, self._integer_limit)
        self._add(weights, values, sums.values[part], is_first=is_first)
        counted = values[weights > 0]
        np.minimum(sums.least[part], counted.min(axis=0, initial=np.inf), out=sums.least[part])
        np.maximum(sums.largest[part], counted.max(axis=0, initial=-np.inf), out=sums.largest[part])

    def _add(self, weights: Sums, rows: NDArray[Any], sums: Sums, *, is_first: bool) -> None:
        """Add the weighted sum of rows, which is taken in their order: unlike those of a matrix product, its bits don't
        depend on where in a block a number is."""
        is_single = len(sums) == 1
        if is_single:  # as a single column it would be summed in another order
            rows = np.repeat(rows, 2, axis=1)
        count = rows.shape[1]
        if len(self._product) < count:
            self._product = np.empty(count)
        product = sums if is_first and not is_single else self._product[:count]
        np.einsum("k,kn->n", weights, rows, dtype=np.float64, casting="unsafe", out=product)
        if not is_first:
            sums += product[: len(sums)]
        elif is_single:
            sums[:] = product[:1]


def file_of_sums(updates: Updates, blocks: Sequence[Block], weighing: Weighing, total: float) -> bytes:
    """What `StoredSums` reads of one group, which these updates are of: `total` is as for `GroupSums`."""
    sums = GroupSums(updates, weighing, total)
    return b"".join(next(sums.of(block)).all.tobytes() for block in blocks)


class StoredSums:
    """The sums of groups that other invocations have written: of each group a file with its sums at some blocks."""

    def __init__(self, reader: Reader, blocks: Sequence[Block], groups: int, *, has_last: bool = False) -> None:
        self.groups = groups
        self.has_last = has_last
        self._fills = reader.read(_of_sums(blocks, groups, has_last=has_last))
        self._space = SumsSpace(has_last=has_last)

    def of(self, block: Block) -> Iterator[BlockSums]:
        """The sums of each group of clients at the next block: there until the next ones are asked for."""
        for _ in range(self.groups):
            sums = self._space.of(block)
            next(self._fills)(sums.all.view(np.uint8).data)
            yield sums


def _of_sums(blocks: Sequence[Block], groups: int, *, has_last: bool) -> Iterator[Request]:
    position = 0
    for block in blocks:
        end = position + 8 * size_of_sums(block, has_last=has_last)
        yield from (Request(group, position, end) for group in range(groups))
        position = end
