"""Updates that went wrong, by accident or on purpose: each follows from a good update and a number, its seed."""

import math
import random
import struct
from collections.abc import Callable

from protocol import encodings
from sandbox.example_updates import ExampleUpdate
from trials.fuzzing.header_mutations import HEADER_CHANGES, Change, in_header

SCHEMA: dict[str, tuple[str, tuple[int, ...]]] = {
    "layer.weight": ("F32", (17, 9)),
    "layer.bias": ("F64", (17,)),
    "tied.weight": ("F32", (17, 9)),
    "half": ("F16", (40,)),
    "brain": ("BF16", (3, 5)),
    "temperature": ("F32", ()),
    "empty": ("F32", (0, 4)),
    "norm.running_mean": ("F32", (17,)),
    "norm.running_var": ("F32", (17,)),
    "brain.scale": ("BF16", (5,)),
    "count": ("I64", ()),
    "mask": ("BOOL", (4,)),
}
BUFFERS = ("norm.running_mean", "norm.running_var", "brain.scale")
"""A small model with one of each kind of tensor, of a few blocks of int8; and which of them are buffers."""

_WORDS = (
    b"0", b"-1", b"9", b"1e999", b"-0.0", b"NaN", b"18446744073709551616", b"null", b"true", b"[", b"]", b"{", b"}",
    b'"', b",", b":", b"\\", b"\\u0000", b"\\ud800", b"F64", b"BF16", b"I8", b"\xff", b"\xc3\x28", b"\0", b" ",
    b"\xef\xbb\xbf",
)  # fmt: skip
_FLOATS = (math.nan, math.inf, -math.inf, -1.0, -0.0, 3.4e38, 1e-45)
_LENGTHS = (0, 1, 2, 7, 8, 2**16, 10_000_000, 10_000_001, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)


Mutation = Callable[[bytearray, ExampleUpdate, random.Random], None]


def mutate(good: ExampleUpdate, seed: int) -> bytes:
    """The file of a good update with one to three things changed; some of these changes are allowed."""
    choose = random.Random(seed)  # noqa: S311 - reproducible, not secret
    data = bytearray(good.data)
    for _ in range(choose.choice((1, 1, 1, 2, 3))):
        choose.choice(_MUTATIONS)(data, good, choose)
    return bytes(data)


# ---- Bytes


def _flip_bits(data: bytearray, _good: ExampleUpdate, choose: random.Random) -> None:
    for _ in range(choose.randint(1, 8)):
        if data:
            data[_somewhere(data, choose)] ^= 1 << choose.randrange(8)


def _change_bytes(data: bytearray, _good: ExampleUpdate, choose: random.Random) -> None:
    where, length = _somewhere(data, choose), choose.randint(1, 12)
    match choose.randrange(4):
        case 0:
            data[where : where + length] = choose.randbytes(length)
        case 1:
            del data[where : where + length]
        case 2:
            data[where:where] = data[where : where + length]
        case _:
            data[where : where + choose.randint(0, 3)] = choose.choice(_WORDS)
    if choose.random() < 0.7:
        _let_length_fit(data, _good)


def _cut_or_extend(data: bytearray, _good: ExampleUpdate, choose: random.Random) -> None:
    if choose.random() < 0.5:
        del data[choose.randrange(len(data) + 1) :]
    else:
        data += bytes(choose.randint(1, 5000))


def _lie_about_the_length(data: bytearray, _good: ExampleUpdate, choose: random.Random) -> None:
    true = int.from_bytes(data[:8], "little")
    length = choose.choice((*_LENGTHS, true + choose.randint(-20, 20), len(data), len(data) - 8))
    data[:8] = struct.pack("<Q", length % 2**64)


def _somewhere(data: bytearray, choose: random.Random) -> int:
    """A position, in the header more often than its share of the bytes is."""
    header = min(len(data), 8 + int.from_bytes(data[:8], "little"))
    return choose.randrange(max(1, header if choose.random() < 0.8 else len(data)))


def _let_length_fit(data: bytearray, good: ExampleUpdate) -> None:
    """Make the header as long as it became, so that what it says is looked at."""
    if len(data) >= 8:
        data[:8] = struct.pack("<Q", max(0, len(data) - good.layout.data_bytes - 8))


# ---- The data


def _change_values(data: bytearray, good: ExampleUpdate, choose: random.Random) -> None:
    """Numbers that are none, or too large, anywhere among the parameters or their scales, or among the buffers."""
    start = len(data) - good.layout.data_bytes
    if start < 0:
        return
    value = choose.choice(_FLOATS)
    raw = struct.pack("<f", value)
    n_buffers = good.layout.n_float - good.layout.n_parameters
    if n_buffers and choose.random() < 0.25:
        where = start + good.layout.buffers_start + 4 * choose.randrange(n_buffers)
        data[where : where + 4] = raw
        return
    match good.layout.encoding:
        case "float32":
            where = good.layout.parameters_start + 4 * choose.randrange(good.layout.n_parameters)
        case "bfloat16":
            where = good.layout.parameters_start + 2 * choose.randrange(good.layout.n_parameters)
            raw = raw[2:]
        case "int8":
            where = good.layout.scales_start + 4 * choose.randrange(encodings.blocks(good.layout.n_parameters))
    data[start + where : start + where + len(raw)] = raw


def _replace_data(data: bytearray, good: ExampleUpdate, choose: random.Random) -> None:
    length = min(len(data), good.layout.data_bytes)
    data[len(data) - length :] = choose.choice((choose.randbytes(length), bytes(length), b"\xff" * length))


def _in_header(change: Change) -> Mutation:
    def mutation(data: bytearray, _good: ExampleUpdate, choose: random.Random) -> None:
        in_header(data, change, choose)

    return mutation


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bits,
    _change_bytes,
    _change_bytes,
    _cut_or_extend,
    _lie_about_the_length,
    *(_in_header(change) for change in HEADER_CHANGES),
    _change_values,
    _change_values,
    _replace_data,
)
