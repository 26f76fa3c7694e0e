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

from cloud.averaging.blocks import Block, Run, Slices
from cloud.averaging.rules import robust
from cloud.averaging.sources import Reader, Request
from cloud.averaging.values import BaseReader, ModelValues, Values, rebased_buffers, rebased_integers
from cloud.averaging.weighing import Weighing, Weights
from cloud.settings import Averaging
from protocol.encodings import Floats, Integers, UpdateLayout
from protocol.messages import MAX_INTEGER
from protocol.tensors import Array, Kind

GROUP = 64

ROWS = 16
"""So many clients of a group are added up at a time."""

MATRIX_BYTES = 256 << 20
"""How much memory a rule may take that sees all clients at a coordinate."""

Sums = NDArray[np.float64]
Change = tuple[Sums, Sums]
"""Of a block's parameters, and of its values (`cloud.averaging.values`): float64 [n_parameters] and [n_values]."""


class Changes(Protocol):
    """Gives the change of each of the blocks that it was made for, in their order."""

    def next(self, block: Block) -> Change:
        """The change of the next block."""


def groups_of(clients: Sequence[int]) -> list[Sequence[int]]:
    """Clients in the groups that they are added up in."""
    return [clients[start : start + GROUP] for start in range(0, len(clients), GROUP)]


class Rows:
    """The changes of some clients at a block, a row each. `bases` are the models that they were trained from, by their
    places in `models`, which has what each has at the block; none of the latter, if all are the present one."""

    def __init__(
        self,
        clients: Sequence[int],
        parameters: Floats,
        buffers: Floats,
        integers: Integers,
        bases: Sequence[int | None],
        models: Sequence[ModelValues],
    ) -> None:
        self.clients = clients
        self.parameters = parameters
        self._buffers = buffers
        self._integers = integers
        self._bases = bases
        self._models = models

    def values(self, run: Run, integer_limit: float = np.inf) -> Values:
        """The changes of a run's buffers or integers, as changes of the present model: float64 [clients, elements].
        Those that were made to integers are at most `integer_limit`, up or down."""
        is_buffer = run.kind == "buffer"
        before = 0 if is_buffer else self._buffers.shape[1]
        part = slice(run.start - before, run.end - before)
        raw = self._buffers[:, part] if is_buffer else self._limited(self._integers[:, part], integer_limit)
        # A negative zero would be neither the smaller nor the larger one of two.
        changes = np.add(raw, 0.0, dtype=np.float64)
        for row, base in enumerate(self._bases):
            if base:
                of, present = self._models[base], self._models[0]
                changes[row] = 0.0 + (
                    rebased_buffers(raw[row], of.buffers[part], present.buffers[part])
                    if is_buffer
                    else rebased_integers(raw[row], of.integers[part], present.integers[part])
                )
        return changes

    @staticmethod
    def _limited(integers: Integers, limit: float) -> Integers:
        return np.clip(integers, -int(limit), int(limit)) if limit < MAX_INTEGER else integers


class Rebasing(NamedTuple):
    """What the values of late updates are rebased with: by client the place of its base, as `Source.base` has it."""

    reader: BaseReader
    bases: Sequence[int | None]


class Updates:
    """The changes of updates at some blocks: in each block those of all `clients`, which are given by their places
    among the reader's files, in their order. Without `rebasing` all are to the present model, or are asked for their
    parameters only."""

    def __init__(
        self,
        layout: UpdateLayout,
        reader: Reader,
        blocks: Sequence[Block],
        clients: Sequence[int],
        rebasing: Rebasing | None = None,
    ) -> None:
        self.clients = clients
        self._layout = layout
        self._rebasing = rebasing
        self._fills = reader.read(_of_updates(layout, blocks, clients))
        self._space = np.empty((min(ROWS, len(clients)), 0), np.uint8)
        self._decoded = np.empty((len(self._space), 0), np.float32)

    def of(self, block: Block) -> Iterator[Rows]:
        """The changes at the next block, of ROWS clients at a time: there until the next ones are asked for."""
        slices = Slices(self._layout, block)
        if self._space.shape[1] < slices.size:
            self._space = np.empty((len(self._space), -(-slices.size // 8) * 8), np.uint8)
        if self._layout.encoding != "float32" and self._decoded.shape[1] < block.n_parameters:
            self._decoded = np.empty((len(self._decoded), block.n_parameters), np.float32)
        lengths = [end - start for start, end in slices.ranges]
        stride, every_byte = self._space.shape[1], self._space.reshape(-1).data
        models = self._rebasing.reader.next(block) if self._rebasing else []
        for first in range(0, len(self.clients), ROWS):
            clients = self.clients[first : first + ROWS]
            space = self._space[: len(clients)]
            for row in range(len(clients)):
                position = row * stride
                for length in lengths:
                    next(self._fills)(every_byte[position : position + length])
                    position += length
            yield Rows(
                clients,
                slices.parameters(space, self._decoded[: len(clients), : block.n_parameters]),
                slices.buffers(space),
                slices.integers(space),
                [self._rebasing.bases[client] for client in clients] if self._rebasing else [],
                models,
            )


def _of_updates(layout: UpdateLayout, blocks: Sequence[Block], clients: Sequence[int]) -> Iterator[Request]:
    for block in blocks:
        ranges = Slices(layout, block).ranges
        for client in clients:
            for start, end in ranges:
                yield Request(client, start, end)


class BlockSums(NamedTuple):
    """The weighted sums of some clients' changes at a block, and the least and the largest change of each value:
    float64 [n_parameters], and thrice [n_values]. `all` has them one after another."""

    all: Sums
    parameters: Sums
    values: Sums
    least: Sums
    largest: Sums


def size_of_sums(block: Block) -> int:
    """How many numbers the sums at a block are."""
    return block.n_parameters + 3 * block.n_values


class _Space:
    """Sums of one block after another, in the same memory: fresh pages for each would cost as much as the sums."""

    def __init__(self) -> None:
        self._space = np.empty(0)

    def of(self, block: Block) -> BlockSums:
        """Space for a block's sums, which holds whatever was there before."""
        size = size_of_sums(block)
        if len(self._space) < size:
            self._space = np.empty(size)
        whole = self._space[:size]
        ends = [block.n_parameters + count * block.n_values for count in range(3)]
        return BlockSums(whole, *np.split(whole, ends))


class GroupSums:
    """The weighted sums of clients, by groups. `total` is the weight of all clients of the mean: parameters count with
    their share of it, so that the mean is there when the groups are added up; values, whose mean may be half-way
    between two integers, with their weight."""

    def __init__(self, updates: Updates, weighing: Weighing, total: float) -> None:
        self._updates = updates
        self._shares = weighing.weights / total * weighing.scales
        self._value_weights = weighing.value_weights
        self._integer_limit = weighing.integer_limit
        self.groups = -(-len(updates.clients) // GROUP)
        self._space = _Space()
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


class Mean:
    """The weighted mean, from the sums of groups; that of a value is never less than its least one, nor more than its
    largest, as rounding would have it. `value_total` is the weight of the clients whose values count: without any,
    values stay as they are."""

    def __init__(self, sums: "GroupSums | StoredSums", value_total: float) -> None:
        self._sums = sums
        self._value_total = value_total
        self._space = _Space()

    def next(self, block: Block) -> Change:
        """The mean at the next block: there until that of the one after is asked for."""
        if self._sums.groups == 1:
            (total,) = self._sums.of(block)
        else:
            total = self._space.of(block)
            for place, sums in enumerate(self._sums.of(block)):
                if place:
                    np.add(total.parameters, sums.parameters, out=total.parameters)
                    np.add(total.values, sums.values, out=total.values)
                    np.minimum(total.least, sums.least, out=total.least)
                    np.maximum(total.largest, sums.largest, out=total.largest)
                else:
                    np.copyto(total.all, sums.all)
        if not self._value_total:
            return total.parameters, np.zeros(block.n_values)
        mean = np.divide(total.values, self._value_total, out=total.values)
        return total.parameters, np.clip(mean, total.least, total.largest, out=mean)


class StoredSums:
    """The sums of groups that other invocations have written: of each group a file with its sums at some blocks."""

    def __init__(self, reader: Reader, blocks: Sequence[Block], groups: int) -> None:
        self.groups = groups
        self._fills = reader.read(_of_sums(blocks, groups))
        self._space = _Space()

    def of(self, block: Block) -> Iterator[BlockSums]:
        """The sums of each group of clients at the next block: there until the next ones are asked for."""
        for _ in range(self.groups):
            sums = self._space.of(block)
            next(self._fills)(sums.all.view(np.uint8).data)
            yield sums


def _of_sums(blocks: Sequence[Block], groups: int) -> Iterator[Request]:
    position = 0
    for block in blocks:
        end = position + 8 * size_of_sums(block)
        yield from (Request(group, position, end) for group in range(groups))
        position = end


class Robust:
    """A rule that sees the numbers of all clients at a coordinate, and takes no weights."""

    def __init__(self, updates: Updates, weighing: Weighing, settings: Averaging) -> None:
        self._updates = updates
        self._weighing = weighing
        self._settings = settings

    def next(self, block: Block) -> Change:
        """The change at the next block."""
        parameters, values = matrices(self._updates, block, self._weighing)
        if not len(values):
            return self._combine(parameters), np.zeros(block.n_values)
        # The mean of what was not trimmed may be rounded to less than its least value.
        return self._combine(parameters), np.clip(self._combine(values), values.min(axis=0), values.max(axis=0))

    def _combine(self, changes: NDArray[Any]) -> Sums:
        if self._settings.rule == "median":
            return robust.coordinate_median(changes)
        return robust.trimmed_mean(changes, self._settings.trim)


def matrices(updates: Updates, block: Block, weighing: Weighing) -> tuple[Floats, Values]:
    """The next block's changes: those of all clients' parameters, scaled, float32 [clients, n_parameters]; and those of
    the values that count, float64 [clients that do, n_values]."""
    runs = [run for run in block.runs() if run.kind != "parameter"]
    is_counted = weighing.value_weights[updates.clients] > 0
    parameters = np.empty((len(updates.clients), block.n_parameters), np.float32)
    values = np.empty((np.count_nonzero(is_counted), block.n_values))
    first = first_counted = 0
    for rows in updates.of(block):
        end = first + len(rows.clients)
        _scale(rows, weighing, parameters[first:end])
        end_counted = first_counted + int(np.count_nonzero(is_counted[first:end]))
        for run in runs:
            values[first_counted:end_counted, run.start : run.end] = rows.values(run)[is_counted[first:end]]
        first, first_counted = end, end_counted
    return parameters, values


def _scale(rows: Rows, weighing: Weighing, out: Floats) -> None:
    np.multiply(rows.parameters, weighing.scales[rows.clients].astype(np.float32)[:, None], out=out)


def gram(updates: Updates, blocks: Iterable[Block], weighing: Weighing) -> Sums:
    """The inner products of the clients' scaled parameters at the next blocks, as `robust.gram` has them: float64
    [clients, clients], whose sum over all blocks is exact in whatever order."""
    total = np.zeros((len(updates.clients), len(updates.clients)))
    for block in blocks:
        parameters = np.empty((len(updates.clients), block.n_parameters), np.float32)
        first = 0
        for rows in updates.of(block):
            _scale(rows, weighing, parameters[first : first + len(rows.clients)])
            first += len(rows.clients)
        total += robust.gram(parameters, weighing.norms)
    return total


class Given:
    """A change that is there as a whole, by tensor."""

    def __init__(self, change: Mapping[str, Array]) -> None:
        self._change = {name: np.asarray(array, np.float64).reshape(-1) for name, array in change.items()}

    def next(self, block: Block) -> Change:
        """The change at any block."""
        taken: dict[Kind, list[Sums]] = {"parameter": [np.empty(0)], "buffer": [np.empty(0)], "integer": []}
        for piece in block.pieces:
            taken[piece.kind].append(self._change[piece.tensor.name][piece.start : piece.end])
        return np.concatenate(taken["parameter"]), np.concatenate(taken["buffer"] + taken["integer"])
