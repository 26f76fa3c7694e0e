"""From many updates to one change of the model, block by block.

Every sum is float64 and taken number by number in the order of the clients' names, so that its bits depend on nothing
else: not on the order of arrival, nor on shards or blocks. ROWS clients are added up at a time, GROUP in a group, and
then the groups: so a second level of invocations, each with some of the groups, gives the same bits as well.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cloud.averaging import robust
from cloud.averaging.blocks import Block, Slices
from cloud.averaging.grid import Part
from cloud.averaging.sources import Reader, Request
from cloud.averaging.weighing import Scales, Weighing
from cloud.settings import Averaging
from protocol.encodings import Floats, Integers, UpdateLayout
from protocol.tensors import Array

GROUP = 64

ROWS = 16
"""So many clients of a group are added up at a time."""

MATRIX_BYTES = 256 << 20
"""How much memory a rule may take that sees all clients at a coordinate."""

Sums = NDArray[np.float64]
Change = tuple[Sums, Sums]
"""Of a block's coordinates, and of its integers: float64 [n_float] and [n_int]."""


class Changes(Protocol):
    """Gives the change of each of the blocks that it was made for, in their order."""

    def next(self, block: Block) -> Change:
        """The change of the next block."""


def groups_of(clients: Sequence[int]) -> list[Sequence[int]]:
    """Clients in the groups that they are added up in."""
    return [clients[start : start + GROUP] for start in range(0, len(clients), GROUP)]


class Rows(NamedTuple):
    """The numbers of some clients at a block: float32 [clients, n_float] and int64 [clients, n_int]."""

    clients: Sequence[int]
    floats: Floats
    integers: Integers


class Updates:
    """The numbers of updates at some blocks: in each block those of all `clients`, which are given by their places
    among the reader's files, in their order."""

    def __init__(self, layout: UpdateLayout, reader: Reader, blocks: Sequence[Block], clients: Sequence[int]) -> None:
        self.clients = clients
        self._layout = layout
        self._fills = reader.read(_of_updates(layout, blocks, clients))
        self._space = np.empty((min(ROWS, len(clients)), 0), np.uint8)
        self._decoded = np.empty((len(self._space), 0), np.float32)

    def of(self, block: Block) -> Iterator[Rows]:
        """The numbers at the next block, of ROWS clients at a time: there until the next ones are asked for."""
        slices = Slices(self._layout, block)
        if self._space.shape[1] < slices.size:
            self._space = np.empty((len(self._space), -(-slices.size // 8) * 8), np.uint8)
        if self._layout.encoding != "float32" and self._decoded.shape[1] < block.n_float:
            self._decoded = np.empty((len(self._decoded), block.n_float), np.float32)
        lengths = [end - start for start, end in slices.ranges]
        stride, every_byte = self._space.shape[1], self._space.reshape(-1).data
        for first in range(0, len(self.clients), ROWS):
            clients = self.clients[first : first + ROWS]
            space = self._space[: len(clients)]
            for row in range(len(clients)):
                position = row * stride
                for length in lengths:
                    next(self._fills)(every_byte[position : position + length])
                    position += length
            floats = slices.floats(space, self._decoded[: len(clients), : block.n_float])
            yield Rows(clients, floats, slices.integers(space))


def _of_updates(layout: UpdateLayout, blocks: Sequence[Block], clients: Sequence[int]) -> Iterator[Request]:
    for block in blocks:
        ranges = Slices(layout, block).ranges
        for client in clients:
            for start, end in ranges:
                yield Request(client, start, end)


class _Space:
    """Sums of one block after another, in the same memory: fresh pages for each would cost as much as the sums."""

    def __init__(self) -> None:
        self._floats = np.empty(0)
        self._integers = np.empty(0)

    def of(self, block: Block) -> Change:
        """Space for a block's sums, which holds whatever was there before."""
        if len(self._floats) < block.n_float:
            self._floats = np.empty(block.n_float)
        if len(self._integers) < block.n_int:
            self._integers = np.empty(block.n_int)
        return self._floats[: block.n_float], self._integers[: block.n_int]


class GroupSums:
    """The weighted sums of clients, by groups. `total` is the weight of all clients of the mean: coordinates count with
    their share of it, so that the mean is there when the groups are added up; integers, whose mean may be half-way
    between two, with their weight."""

    def __init__(self, updates: Updates, weighing: Weighing, total: float) -> None:
        self._updates = updates
        self._coefficients = {
            kind: (weighing.weights if kind == "integer" else weighing.weights / total) * scales
            for kind, scales in weighing.scales.items()
        }
        self.groups = -(-len(updates.clients) // GROUP)
        self._space = _Space()
        self._product = np.empty(0)

    def of(self, block: Block) -> Iterator[Change]:
        """The sum of each group of clients at the next block: there until the next one is asked for."""
        runs = [run for run in block.runs() if run.kind != "integer"]
        numbers = self._updates.of(block)
        for _ in range(self.groups):
            floats, integers = self._space.of(block)
            for place, rows in enumerate(itertools.islice(numbers, GROUP // ROWS)):
                for kind, _, start, end, _ in runs:
                    weights = self._coefficients[kind][rows.clients]
                    self._add(weights, rows.floats[:, start:end], floats[start:end], is_first=not place)
                if block.n_int:
                    weights = self._coefficients["integer"][rows.clients]
                    self._add(weights, rows.integers, integers, is_first=not place)
            yield floats, integers

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


class Mean:
    """The weighted mean, from the sums of groups."""

    def __init__(self, sums: "GroupSums | StoredSums", total: float) -> None:
        self._sums = sums
        self._total = total
        self._space = _Space()

    def next(self, block: Block) -> Change:
        """The mean at the next block: there until that of the one after is asked for."""
        if self._sums.groups == 1:
            (totals,) = self._sums.of(block)
        else:
            totals = self._space.of(block)
            for place, sums in enumerate(self._sums.of(block)):
                for total, more in zip(totals, sums, strict=True):
                    if place:
                        np.add(total, more, out=total)
                    else:
                        np.copyto(total, more)
        floats, integers = totals
        return floats, np.divide(integers, self._total, out=integers)


class StoredSums:
    """The sums of groups that other invocations have written: of each group a file with its sums at some parts, all
    coordinates first, then all integers."""

    def __init__(self, reader: Reader, parts: Sequence[Part], blocks: Sequence[Block], groups: int) -> None:
        self.groups = groups
        self._fills = reader.read(_of_sums(parts, blocks, groups))
        self._space = _Space()

    def of(self, block: Block) -> Iterator[Change]:
        """The sum of each group of clients at the next block: there until the next one is asked for."""
        for _ in range(self.groups):
            sums = self._space.of(block)
            for numbers in sums:
                if len(numbers):
                    next(self._fills)(numbers.view(np.uint8).data)
            yield sums


def _of_sums(parts: Sequence[Part], blocks: Sequence[Block], groups: int) -> Iterator[Request]:
    floats_at, floats_end = parts[0].floats[0], parts[-1].floats[1]
    integers_at = parts[0].integers[0] - (floats_end - floats_at)
    for block in blocks:
        for group in range(groups):
            for (start, end), at in ((block.floats, floats_at), (block.integers, integers_at)):
                if end > start:
                    yield Request(group, 8 * (start - at), 8 * (end - at))


class Robust:
    """A rule that sees the numbers of all clients at a coordinate, and takes no weights."""

    def __init__(self, updates: Updates, weighing: Weighing, settings: Averaging) -> None:
        self._updates = updates
        self._scales = weighing.scales
        self._settings = settings

    def next(self, block: Block) -> Change:
        """The change at the next block."""
        floats, integers = matrices(self._updates, block, self._scales)
        return self._combine(floats), self._combine(integers)

    def _combine(self, values: NDArray[Any]) -> Sums:
        if self._settings.rule == "median":
            return robust.coordinate_median(values)
        return robust.trimmed_mean(values, self._settings.trim)


def matrices(updates: Updates, block: Block, scales: Scales) -> tuple[NDArray[np.float32], Sums]:
    """The next block's numbers of all clients, scaled: float32 [clients, n_float] and float64 [clients, n_int]."""
    floats = np.empty((len(updates.clients), block.n_float), np.float32)
    integers = np.empty((len(updates.clients), block.n_int))
    runs = [run for run in block.runs() if run.kind != "integer"]
    first = 0
    for clients, values, counted in updates.of(block):
        rows = slice(first, first + len(clients))
        for kind, _, start, end, _ in runs:
            by = scales[kind][clients].astype(np.float32)[:, None]
            np.multiply(values[:, start:end], by, out=floats[rows, start:end])
        integers[rows] = counted
        first += len(clients)
    return floats, integers


def gram(updates: Updates, blocks: Iterable[Block], scales: Scales, norms: Sums) -> Sums:
    """The inner products of the clients' scaled numbers at the next blocks, as `robust.gram` has them: float64
    [clients, clients], whose sum over all blocks is exact in whatever order. No scaled update's L2 norm is over its
    `norms`."""
    total = np.zeros((len(norms), len(norms)))
    for block in blocks:
        total += robust.gram(matrices(updates, block, scales)[0], norms)
    return total


class Given:
    """A change that is there as a whole, by tensor."""

    def __init__(self, change: Mapping[str, Array]) -> None:
        self._change = {name: np.asarray(array, np.float64).reshape(-1) for name, array in change.items()}

    def next(self, block: Block) -> Change:
        """The change at any block."""
        taken: tuple[list[Sums], list[Sums]] = ([np.empty(0)], [np.empty(0)])
        for piece in block.pieces:
            taken[piece.kind == "integer"].append(self._change[piece.tensor.name][piece.start : piece.end])
        return np.concatenate(taken[0]), np.concatenate(taken[1])
