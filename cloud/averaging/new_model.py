"""A new model from the old one and a change, a block in memory at a time."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.averaging.accepted_updates import Reader, Request, read_whole
from cloud.averaging.bfloat16_copy import TooLargeNumberError, to_bfloat16
from cloud.averaging.blocks import Block, Run
from cloud.averaging.grid import Grid, Part
from cloud.averaging.optimizers import optimizer_of, vectors_of
from cloud.averaging.optimizers.optimizer import as_vector
from cloud.averaging.rebasing import to_float64
from cloud.averaging.rules.rule import BlockChange, ModelChange
from cloud.settings import Averaging
from protocol.encodings import Buffer
from protocol.tensors import DTYPES, Array, from_float32, to_float32

File = Literal["model", "optimizer", "ema", "bfloat16"]
FILES: tuple[File, ...] = ("model", "optimizer", "ema", "bfloat16")
"""A global model, the server optimizer's state, the moving average of the models, and the bfloat16 copy of the model
that devices download: one set belongs together."""


VARIANCES = re.compile(r"(?:running|moving)_?(?:var|variance|std)\Z", re.IGNORECASE)
"""How the names of buffers end that batch and instance normalization divide by the root of."""


_LARGEST_F16 = float(np.finfo(np.float16).max)


class NotFiniteModelError(ArithmeticError):
    """A new model would have values that its dtype can't hold."""


class NewPart(NamedTuple):
    """What belongs to a part of the model, in each file that the federation has; the names of variances that are
    negative in it, with which no evaluation gives a number; and of tensors in which a value is the largest that float16
    has, since it would be larger."""

    part: Part
    data: dict[File, bytearray]
    negative: frozenset[str]
    saturated: frozenset[str]


class OldModelReader:
    """Reads what the round starts from, at some parts, in their order. `reader` reads those of FILES that there are, in
    this order; of the first model there is neither a state yet nor an average."""

    def __init__(self, grid: Grid, parts: Iterable[Part], reader: Reader, files: Sequence[File]) -> None:
        self._files = files
        requests = (
            Request(number, *(grid.optimizer_range(part) if file == "optimizer" else (part.start, part.end)))
            for part in parts
            if part.pieces
            for number, file in enumerate(files)
        )
        self._buffers = read_whole(reader, requests)

    def next(self, part: Part) -> dict[File, Buffer]:
        """What there is at the next part."""
        return {file: next(self._buffers) if part.pieces else b"" for file in self._files}


def new_model_parts(
    grid: Grid,
    parts: Iterable[Part],
    blocks: Iterable[Block],
    change: ModelChange,
    before: OldModelReader,
    settings: Averaging,
    share_of_last: float | None = None,
) -> Iterator[NewPart]:
    """Some parts after the round; `blocks` are all of theirs. With variance reduction the sum of all clients' last
    updates is `share_of_last` times in the change; None if it begins anew.

    Parameters take the optimizer's step; buffers and integers the change itself, which is a mean. Sums are float64;
    integers and booleans are rounded to nearest, ties to even, and kept in range. So are float16's, or a client that
    drives one up, round by round, would end the rounds of all. Constants may be infinite.

    Raises:
        NotFiniteModelError: a sum is larger than its tensor's dtype, or the bfloat16 copy, can hold; the text names the
            tensor.
    """
    of_part = {number: list(found) for number, found in itertools.groupby(blocks, lambda block: block.part.number)}
    for part in parts:
        writer = _PartWriter(part, before.next(part), settings, share_of_last)
        for block in of_part.get(part.number, []):
            writer.write(block, change.next(block))
        if grid.has_bfloat16:
            writer.write_bfloat16()
        yield NewPart(part, writer.new, frozenset(writer.negative), frozenset(writer.saturated))


class _PartWriter:
    """Writes the new part, run by run of its blocks."""

    def __init__(self, part: Part, old: dict[File, Buffer], settings: Averaging, share_of_last: float | None) -> None:
        self._part = part
        self._old = old
        self._optimizer = optimizer_of(settings.optimizer)
        self._ema_decay = settings.ema
        self._share_of_last = share_of_last
        size = part.end - part.start
        self.new: dict[File, bytearray] = {"model": bytearray(size)}
        self.negative: set[str] = set()
        self.saturated: set[str] = set()
        self._vectors: tuple[NDArray[np.float32], ...] = ()
        if vectors := vectors_of(settings):
            coordinates = part.floats[1] - part.floats[0]
            initial = [*self._optimizer.initial_vectors(coordinates), np.zeros(coordinates, np.float32)][:vectors]
            self.new["optimizer"] = bytearray(old.get("optimizer") or b"".join(vector.tobytes() for vector in initial))
            self._vectors = tuple(np.frombuffer(self.new["optimizer"], "<f4").reshape(vectors, coordinates))
        if self._ema_decay:
            self.new["ema"] = bytearray(size)

    def write(self, block: Block, change: BlockChange) -> None:
        for run in block.runs():
            part = slice(run.start, run.end)
            if run.kind == "parameter":
                last = None if change.last is None else change.last[part]
                self._write_parameters(block, run, change.parameters[part], last)
            elif run.kind == "buffer":
                self._write_buffers(block, run, change.values[part])
            else:
                self._write_integers(run, change.values[part])

    def write_bfloat16(self) -> None:
        """Write the part of the bfloat16 copy, once that of the model is whole."""
        model = memoryview(self.new["model"])
        copied = self.new["bfloat16"] = bytearray()
        position = 0
        try:
            for piece in self._part.pieces:
                copied += to_bfloat16(piece.tensor, piece.kind, model[position : position + piece.bytes])
                position += piece.bytes
        except TooLargeNumberError as error:
            raise NotFiniteModelError(str(error)) from error

    def _write_integers(self, run: Run, change: NDArray[np.float64]) -> None:
        new = _view(self.new["model"], run)
        new[:] = _rounded(run.dtype, _view(self._old["model"], run), change)
        if "ema" in self.new:
            _view(self.new["ema"], run)[:] = new

    def _write_parameters(
        self, block: Block, run: Run, change: NDArray[np.float64], last: NDArray[np.float64] | None
    ) -> None:
        state = tuple(vector[run.in_vector : run.in_vector + len(change)] for vector in self._vectors)
        if last is not None:
            change = self._with_last(change, state[-1], last)
            state = state[:-1]
        values, moved = self._optimizer.step(self._before("model", run), change, state)
        for vector, by in zip(state, moved, strict=True):
            vector[:] = by
        self._write_floats(block, run, values)

    def _with_last(
        self, change: NDArray[np.float64], sum_of_last: NDArray[np.float32], last: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The change with that of all clients' last updates, whose sum becomes what it is after the round."""
        if self._share_of_last is None:
            sum_of_last[:] = as_vector(last)
            return change
        before = sum_of_last.astype(np.float64)
        sum_of_last[:] = as_vector(before + last)
        return change + self._share_of_last * before

    def _write_buffers(self, block: Block, run: Run, change: NDArray[np.float64]) -> None:
        self._write_floats(block, run, self._before("model", run) + change)
        is_negative = to_float64(_view(self.new["model"], run), run.dtype) < 0
        if is_negative.any():
            self.negative |= {
                name
                for name, start, end in block.tensors_in(run)
                if VARIANCES.search(name) and is_negative[start:end].any()
            }

    def _write_floats(self, block: Block, run: Run, values: NDArray[np.float64]) -> None:
        self._store(block, run, values, "model")
        if "ema" in self.new:
            previous = self._before("ema" if self._old.get("ema") else "model", run)
            new = to_float64(_view(self.new["model"], run), run.dtype)
            self._store(block, run, ema(previous, new, self._ema_decay), "ema")

    def _before(self, file: File, run: Run) -> NDArray[np.float64]:
        return to_float64(_view(self._old[file], run), run.dtype)

    def _store(self, block: Block, run: Run, values: NDArray[np.float64], file: File) -> None:
        space = _view(self.new[file], run)
        if run.dtype == "F16":
            is_larger = np.isfinite(values) & (np.abs(values) > _LARGEST_F16)
            if is_larger.any():
                values = np.where(is_larger, np.copysign(_LARGEST_F16, values), values)
                self.saturated |= {name for name, start, end in block.tensors_in(run) if is_larger[start:end].any()}
        store(run.dtype, values, space)
        good = np.isfinite(space if run.dtype == "F64" else to_float32(space, run.dtype))
        if not good.all():
            # An infinite constant, as a mask has them, is the same as before.
            good |= to_float64(space, run.dtype) == self._before("model", run)
        if not good.all():
            place = int(np.argmin(good))
            tensor = next(name for name, _, end in block.tensors_in(run) if place < end)
            raise NotFiniteModelError(f"tensor {tensor!r} has values that {run.dtype} can't hold")


def ema(previous: NDArray[np.float64], new: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """The moving average of some of the global model's weights, which weighs what was with `decay`."""
    return decay * previous + (1 - decay) * new


def _view(data: Buffer, run: Run) -> Array:
    return np.frombuffer(data, DTYPES[run.dtype], run.end - run.start, run.offset)


def store(dtype: str, values: NDArray[np.float64], space: Array) -> None:
    """Write values as a dtype stores them, rounded to float32 first if that is narrower; infinite if it can't hold
    them."""
    with np.errstate(over="ignore"):
        if dtype in ("F64", "F32"):
            np.copyto(space, values, casting="same_kind")
        else:
            space[:] = from_float32(values.astype(np.float32), dtype)


def _rounded(dtype: str, old: Array, change: NDArray[np.float64]) -> Array:
    if dtype == "BOOL":
        return np.greater(old + change, 0.5)
    limits = np.iinfo(DTYPES[dtype].name)
    return np.clip(_saturating_sum(old.astype(np.int64), change), limits.min, limits.max)


def _saturating_sum(values: NDArray[np.int64], change: NDArray[np.float64]) -> NDArray[np.int64]:
    limits = np.iinfo(np.int64)
    by = np.rint(np.clip(change, -(2.0**62), 2.0**62)).astype(np.int64)
    by = np.clip(by, limits.min - np.minimum(values, 0), limits.max - np.maximum(values, 0))
    total: NDArray[np.int64] = values + by
    return total
