"""Whether an update counts: pure checks of bytes from a device, which may be wrong by accident or on purpose.

Of an update's header only the report is read: the rest has to be, byte by byte, what a good update has there. Beside
the bytes themselves what is allocated is bounded: the header, whose length is checked first, and a block of
coordinates, however large the update is.
"""

import math

import msgspec
import numpy as np

from cloud.state.records import RoundRecord
from protocol.encodings import (
    BLOCK,
    Floats,
    UpdateLayout,
    buffer_range,
    check_layout,
    decode,
    integer_range,
    parameter_range,
    scale_range,
)
from protocol.messages import MAX_REPORT_BYTES, InvalidMessageError, Report
from protocol.messages import decode as decode_message
from protocol.names import UpdateName
from protocol.tensors import (
    DTYPES,
    InvalidTensorsError,
    SchemaMismatchError,
    encode_header,
    header_length,
    parse_header,
    parse_message,
)

_AT_ONCE = 512 * BLOCK
"""So many coordinates are decoded at a time: they stay in the processor's cache."""

_EXPLAINED_BYTES = 4096
"""A header that is longer than expected by more than this is refused without being parsed, which would take more memory
than it has bytes."""


class RefusedError(Exception):
    """An update that does not count; the text is the reason that is recorded."""


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """What inspection learned of a good update. `norm` is the L2 norm of its parameters' changes, `integer_change`
    the largest magnitude of its integers' ones; its data begins at byte `data_start` of the file."""

    report: Report
    norm: float
    integer_change: int
    data_start: int


def max_header_bytes(expected: UpdateLayout) -> int:
    """How many bytes may precede the data of an update: a report grows to at most twice its length as a JSON string."""
    return expected.header_bytes + 2 * MAX_REPORT_BYTES


def max_bytes(expected: UpdateLayout) -> int:
    """How long an update's file may be."""
    return max_header_bytes(expected) + expected.data_bytes


def inspect(data: bytes, name: UpdateName, round_record: RoundRecord, expected: UpdateLayout) -> Inspected:
    """Read an update once and check all that the average depends on.

    Raises:
        RefusedError: malformed, wrong encoding, wrong schema, sender mismatch, wrong base, wrong scales, not finite, or
            out of range.
    """
    try:
        length = header_length(data[:8])
        if length > max_header_bytes(expected):
            raise RefusedError(
                f"malformed: a header of {length} bytes; at most {max_header_bytes(expected)} are allowed"
            )
        message = parse_message(data).encode()
        if len(message) > MAX_REPORT_BYTES:
            raise RefusedError(f"malformed: a report of {len(message)} bytes; at most {MAX_REPORT_BYTES} are allowed")
        report = decode_message(message, Report)
        if report.encoding != expected.encoding:
            raise RefusedError(f"wrong encoding: the report says {report.encoding}, not {expected.encoding}")
        good = encode_header(expected.tensors, message)
        if data[:length] != good:
            raise _explained(data, length - len(good), expected)
        if len(data) != length + expected.data_bytes:
            raise RefusedError(
                f"malformed: {len(data)} bytes, where the header describes {length + expected.data_bytes}"
            )
    except SchemaMismatchError as error:
        raise RefusedError(f"wrong schema: {error}") from error
    except (InvalidTensorsError, InvalidMessageError) as error:
        raise RefusedError(f"malformed: {error}") from error
    claimed = (report.federation, report.life, report.round, report.thing)
    if claimed != (name.federation, name.life, name.round, name.thing):
        raise RefusedError(f"sender mismatch: the report says {claimed}")
    if report.base != round_record.base.downloaded.sha256:
        raise RefusedError(f"wrong base: trained from a model with SHA-256 {report.base}")
    if not report.steps and not round_record.evaluates:
        raise RefusedError("malformed: the report says that there were no steps")
    body = memoryview(data)[length:]
    norm = _norm(body, expected)
    _check_buffers(body, expected)
    integer_change = _largest_integer(body, expected)
    return Inspected(report=report, norm=norm, integer_change=integer_change, data_start=length)


def _explained(data: bytes, longer: int, expected: UpdateLayout) -> RefusedError:
    """Why a header differs from the expected one. It has `longer` bytes too many.

    Raises:
        InvalidTensorsError, SchemaMismatchError: that is why.
    """
    if longer > _EXPLAINED_BYTES:
        return RefusedError(f"malformed: the header is {longer} bytes longer than that of the model's tensors")
    check_layout(parse_header(data, len(data)), expected)
    # A name that comes twice, or whatever else another reader could take for something else.
    return RefusedError("malformed: the header is not spelled as fedgrass spells it")


def _norm(data: memoryview, layout: UpdateLayout) -> float:
    """The L2 norm of the parameters' coordinates.

    Raises:
        RefusedError: one of them is not finite, or too large, or a scale is not finite, or negative.
    """
    square = 0.0
    least_limit = min((largest_change(tensor.dtype) for tensor in layout.floats), default=0.0)
    size = min(layout.n_parameters, _AT_ONCE)
    values, wide = np.empty(size, np.float32), np.empty(size, np.float64)
    for first in range(0, layout.n_parameters, _AT_ONCE):
        stop = min(first + _AT_ONCE, layout.n_parameters)
        raw = data[slice(*parameter_range(layout, first, stop))]
        scales = data[slice(*scale_range(layout, first, stop))]
        _check_scales(scales, first)
        part, wide_part = values[: stop - first], wide[: stop - first]
        decode(layout.encoding, raw, part, first, scales)
        # No finite float32 has a square that float64 can't hold: if the sum is not finite, some value is not.
        with np.errstate(invalid="ignore"):
            np.copyto(wide_part, part)
            square_part = float(np.einsum("i,i->", wide_part, wide_part))  # np.dot's sums depend on the number of cores
        if not math.isfinite(square_part):
            coordinate = first + int(np.argmin(np.isfinite(part)))
            raise RefusedError(f"non-finite: tensor {layout.tensor_of(coordinate)!r}")
        if square_part > least_limit**2:  # else no number of them is larger either
            _check_range(part, first, layout)
        square += square_part
    return math.sqrt(square)


def _check_buffers(data: memoryview, layout: UpdateLayout) -> None:
    for first in range(layout.n_parameters, layout.n_float, _AT_ONCE):
        stop = min(first + _AT_ONCE, layout.n_float)
        start, end = (place - layout.n_parameters for place in (first, stop))
        values: Floats = np.frombuffer(data[slice(*buffer_range(layout, start, end))], np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            raise RefusedError(f"non-finite: tensor {layout.tensor_of(first + int(np.argmin(finite)))!r}")
        _check_range(values, first, layout)


def _check_range(values: Floats, first: int, layout: UpdateLayout) -> None:
    """Passes if no change of these coordinates, from `first` on, is larger than one that counts."""
    for tensor in layout.floats:
        part = values[max(tensor.start - first, 0) : max(tensor.stop - first, 0)]
        if not part.size:
            continue
        change, limit = max(float(part.max()), -float(part.min())), largest_change(tensor.dtype)
        if change > limit:
            raise RefusedError(f"out of range: tensor {tensor.name!r} is changed by {change:g}; at most {limit:g}")


def largest_change(dtype: str) -> float:
    """The largest change of a floating-point number that counts. No training makes a larger one; and whatever one
    client sends, the model, its bfloat16 copy and the optimizer's squares, which are float32, hold what is made of
    it, even scaled up to others' steps: an update that is out of range is refused, and does not abort its round."""
    return 2.0**12 if dtype == "F16" else 2.0**60


def _largest_integer(data: memoryview, layout: UpdateLayout) -> int:
    """The largest magnitude of an integer's change.

    Raises:
        RefusedError: an integer is changed by more than its dtype has room for.
    """
    largest = 0
    for tensor in layout.integers:
        for first in range(tensor.start, tensor.stop, _AT_ONCE):
            stop = min(first + _AT_ONCE, tensor.stop)
            part = np.frombuffer(data[slice(*integer_range(first, stop))], DTYPES["I64"])
            change = max(int(part.max()), -int(part.min()))
            if change > (limit := _room(tensor.dtype)):
                raise RefusedError(f"out of range: tensor {tensor.name!r} is changed by {change}; {limit} is possible")
            largest = max(largest, change)
    return largest


def _room(dtype: str) -> int:
    """The largest change of an integer that counts: all that its dtype has room for, of 64 bits less, lest it
    overflow."""
    if dtype == "BOOL":
        return 1
    if dtype == "I64":
        return 2**62
    limits = np.iinfo(DTYPES[dtype].name)
    return int(limits.max) - int(limits.min)


def _check_scales(raw: memoryview, first: int) -> None:
    scales = np.frombuffer(raw, DTYPES["F32"])
    good = (scales >= 0) & (scales < np.inf)
    if not good.all():
        index = int(np.argmin(good))
        raise RefusedError(f"wrong scales: that of block {first // BLOCK + index} is {scales[index]}")
