"""The changes that updates make to a model, a block in memory at a time: of some clients, a row each."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cloud.averaging.accepted_updates import Reader, Request
from cloud.averaging.blocks import Block, Run, Slices
from cloud.averaging.rebasing import BaseReader, ModelValues, Values, rebased_buffers, rebased_integers
from cloud.averaging.weights import Weighing
from protocol.encoding_traits import traits_of
from protocol.encodings import Floats, Integers, UpdateLayout
from protocol.messages import MAX_INTEGER, Encoding
from protocol.tensors import DTYPES

ROWS = 16
"""So many clients' updates to a block are read at a time."""

MATRIX_BYTES = 256 << 20
"""How much memory a rule may take that sees all clients at a coordinate."""


def block_elements(encoding: Encoding, clients: int, at_once_bytes: int, *, of_all_clients: bool) -> int:
    """How many elements a block has at most: what is best read of an update at a time; fewer, if the numbers of so many
    clients have to be in memory at once."""
    elements = at_once_bytes // DTYPES[traits_of(encoding).dtype].itemsize
    return max(1, min(elements, MATRIX_BYTES // (4 * clients))) if of_all_clients else elements


class Rows(NamedTuple):
    """The changes of some clients at a block, a row each. `models` are the values of models at the block, and `bases`
    the clients' places in it; both are empty if all trained from the present model."""

    clients: Sequence[int]
    parameters: Floats
    buffers: Floats
    integers: Integers
    bases: Sequence[int | None]
    models: Sequence[ModelValues]

    def values(self, run: Run, integer_limit: float = np.inf) -> Values:
        """The changes of a run's buffers or integers, as changes of the present model: float64 [clients, elements].
        Those that were made to integers are at most `integer_limit`, up or down."""
        is_buffer = run.kind == "buffer"
        before = 0 if is_buffer else self.buffers.shape[1]
        part = slice(run.start - before, run.end - before)
        raw = self.buffers[:, part] if is_buffer else self._limited(self.integers[:, part], integer_limit)
        # A negative zero would be neither the smaller nor the larger one of two.
        changes = np.add(raw, 0.0, dtype=np.float64)
        for row, base in enumerate(self.bases):
            if base:
                of, present = self.models[base], self.models[0]
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
    """What the values of late updates are rebased with: by client the place of its base, as `AcceptedUpdate.base` has
    it."""

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
        if traits_of(self._layout.encoding).is_lossy and self._decoded.shape[1] < block.n_parameters:
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
        scale(rows, weighing, parameters[first:end])
        end_counted = first_counted + int(np.count_nonzero(is_counted[first:end]))
        for run in runs:
            values[first_counted:end_counted, run.start : run.end] = rows.values(run)[is_counted[first:end]]
        first, first_counted = end, end_counted
    return parameters, values


def scale(rows: Rows, weighing: Weighing, out: Floats) -> None:
    """Write rows' parameters, scaled as their clients' are, to `out`."""
    np.multiply(rows.parameters, weighing.scales[rows.clients].astype(np.float32)[:, None], out=out)
