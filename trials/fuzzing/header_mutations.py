"""What can be wrong with the header of an update, and with the report in it: changes of its entries, name and value."""

import json
import math
import random
import struct
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

from protocol.encodings import SCALES

Entries = list[tuple[str, Any]]

_NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 127, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 2**64 - 1, -(2**63), 10**400, 0.5, 8.0,
    1e308, True, None, "8", [], {}, [8], "\u0668",
)  # fmt: skip
_NAMES = (
    "", " ", "\0", "\u202e", "é", "e\u0301", "\U0001f600", "__metadata__", "__METADATA__", "../../etc/passwd", SCALES,
    "layer.weight ", "layer", "a" * 5000, "%s%n", "constructor",
)  # fmt: skip
_DTYPES = (
    "F64",
    "F32",
    "F16",
    "BF16",
    "I64",
    "I32",
    "I16",
    "I8",
    "U8",
    "BOOL",
    "f32",
    "F8_E4M3",
    "U64",
    "",
    "F32 ",
    "\0",
)
_FLOATS = (math.nan, math.inf, -math.inf, -1.0, -0.0, 3.4e38, 1e-45)


Change = Callable[[Entries, random.Random], None]


def in_header(data: bytearray, change: Change, choose: random.Random) -> None:
    """Change the entries of a file's header. One that is no JSON any more is left as it is."""
    stop = 8 + int.from_bytes(data[:8], "little")
    try:
        entries = list(json.loads(bytes(data[8:stop])).items())
    except (ValueError, AttributeError, RecursionError):
        return
    if entries:
        change(entries, choose)
    values = {id(value): value for _, value in entries}  # thousands of entries can have the same one
    texts = {key: _json(value) for key, value in values.items()}
    text = "{" + ",".join(f"{encode_basestring(name)}:{texts[id(value)]}" for name, value in entries) + "}"
    raw = text.encode("utf-8", "surrogatepass")
    data[:stop] = struct.pack("<Q", len(raw)) + raw


class _Raw(str):
    """JSON text that is written as it is."""

    __slots__ = ()


_encode = json.JSONEncoder(ensure_ascii=False).encode


def _json(value: Any) -> str:
    return str(value) if isinstance(value, _Raw) else _encode(value)


def _tensor(entries: Entries, choose: random.Random) -> tuple[int, str, dict[str, Any]]:
    """One of the entries, at its index; a fresh one if it is none of a tensor any more."""
    index = choose.randrange(len(entries))
    name, entry = entries[index]
    good = isinstance(entry, dict) and not isinstance(entry, _Raw) and "dtype" in entry
    return index, name, dict(entry) if good else {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}


def _change_offsets(entries: Entries, choose: random.Random) -> None:
    index, name, entry = _tensor(entries, choose)
    _, _, other = _tensor(entries, choose)
    offsets = entry.get("data_offsets")
    pair = list(offsets) if isinstance(offsets, list) and len(offsets) == 2 else [0, 0]
    match choose.randrange(5):
        case 0:
            pair[choose.randrange(2)] = choose.choice(_NUMBERS)
        case 1:
            pair = other.get("data_offsets", pair)
        case 2:
            pair.reverse()
        case 3:
            shift = choose.choice((-8, -4, -1, 1, 4, 8, 2**40))
            pair = [edge + shift if isinstance(edge, int) else edge for edge in pair]
        case _:
            pair = [*pair, choose.choice(_NUMBERS)]
    entries[index] = name, entry | {"data_offsets": pair}


def _change_shape(entries: Entries, choose: random.Random) -> None:
    index, name, entry = _tensor(entries, choose)
    found = entry.get("shape")
    shape: Any = list(found) if isinstance(found, list) else []
    match choose.randrange(6):
        case 0 if shape:
            shape[choose.randrange(len(shape))] = choose.choice(_NUMBERS)
        case 1:
            shape.insert(choose.randint(0, len(shape)), choose.choice(_NUMBERS))
        case 2:
            shape = [1] * choose.choice((1, 31, 33, 1000)) + shape
        case 3:
            shape.reverse()
        case 4:
            shape = _Raw("[" * choose.choice((1, 100, 20_000)))
        case _:
            shape = choose.choice(_NUMBERS)
    entries[index] = name, entry | {"shape": shape} if not isinstance(shape, _Raw) else _Raw(f'{{"shape":{shape}')


def _change_dtype(entries: Entries, choose: random.Random) -> None:
    index, name, entry = _tensor(entries, choose)
    entries[index] = name, entry | {"dtype": choose.choice((*_DTYPES, choose.choice(_NUMBERS)))}


def _exchange_dtypes(entries: Entries, choose: random.Random) -> None:
    """Two tensors of other types, each with the bytes of the other: consistent, and wrong."""
    (one, name, entry), (two, other_name, other) = _tensor(entries, choose), _tensor(entries, choose)
    entries[one], entries[two] = (name, other), (other_name, entry)


def _change_name(entries: Entries, choose: random.Random) -> None:
    index = choose.randrange(len(entries))
    _, entry = entries[index]
    entries[index] = choose.choice((*_NAMES, entries[choose.randrange(len(entries))][0])), entry


def _repeat_tensor(entries: Entries, choose: random.Random) -> None:
    _, name, entry = _tensor(entries, choose)
    entries.insert(choose.randint(0, len(entries)), (name, entry))


def _add_tensor(entries: Entries, choose: random.Random) -> None:
    size = choose.choice((0, 0, 1, 1000))
    entry = {"dtype": choose.choice(_DTYPES), "shape": [size], "data_offsets": [0, size * choose.choice((0, 1, 4, 8))]}
    entries.insert(choose.randint(0, len(entries)), (choose.choice(_NAMES), entry))


def _add_many_tensors(entries: Entries, choose: random.Random) -> None:
    entry = choose.choice(({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, 0))
    entries += [(f"{number:x}", entry) for number in range(choose.choice((10, 1000, 10_000)))]


def _drop_entry(entries: Entries, choose: random.Random) -> None:
    del entries[choose.randrange(len(entries))]


def _reorder(entries: Entries, choose: random.Random) -> None:
    choose.shuffle(entries)


def _change_field(entries: Entries, choose: random.Random) -> None:
    index, name, entry = _tensor(entries, choose)
    match choose.randrange(3):
        case 0:
            entry.pop(choose.choice(sorted(entry)), None)
        case 1:
            entry[choose.choice(("dtype", "shape", "data_offsets", "url"))] = choose.choice(_NUMBERS)
        case _:
            entries[index] = name, choose.choice(_NUMBERS)
            return
    entries[index] = name, entry


def _nest_deeply(entries: Entries, choose: random.Random) -> None:
    depth = choose.choice((10, 500, 5000, 60_000))
    opening, closing = choose.choice((("[", "]"), ('{"a":', "}")))
    closed = closing * depth if choose.random() < 0.5 else ""
    index = choose.randrange(len(entries))
    entries[index] = entries[index][0], _Raw(opening * depth + "0" + closed)


def _write_huge_number(entries: Entries, choose: random.Random) -> None:
    index, name, entry = _tensor(entries, choose)
    digits = "9" * choose.choice((19, 20, 400, 5000))
    fields = {key: _json(value) for key, value in entry.items()}
    fields[choose.choice(("shape", "data_offsets"))] = f"[{digits},{choose.choice(('0', digits))}]"
    entries[index] = name, _Raw("{" + ",".join(f"{_json(key)}:{text}" for key, text in fields.items()) + "}")


# ---- The report


def _change_metadata(entries: Entries, choose: random.Random) -> None:
    metadata: Any = choose.choice(
        (
            *(
                None,
                [],
                1,
                {},
                {"fedgrass": 1},
                {"fedgrass": None},
                {"fedgrass": {}},
                {"fedgrass": ""},
                {"other": "{}"},
            ),
            {f"{number:x}": "" for number in range(10_000)},
        )
    )
    entries[:] = [(name, metadata if name == "__metadata__" else entry) for name, entry in entries]


def _change_report(entries: Entries, choose: random.Random) -> None:
    for index, (name, metadata) in enumerate(entries):
        if name == "__metadata__" and isinstance(metadata, dict) and isinstance(metadata.get("fedgrass"), str):
            entries[index] = name, metadata | {"fedgrass": _changed_report(metadata["fedgrass"], choose)}


def _changed_report(text: str, choose: random.Random) -> str:
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(report, dict) or not report:
        return text
    field = choose.choice(sorted(report))
    match choose.randrange(8):
        case 0:
            report[field] = choose.choice((*_NUMBERS, *_NAMES))
        case 1:
            del report[field]
        case 2:
            report["encoding"] = choose.choice(("float32", "bfloat16", "int8", "float64", "pickle"))
        case 3:
            report["describe"] = dict.fromkeys(map(str, range(choose.choice((1, 1000, 5000, 20_000)))), 1)
        case 4:
            report["describe"] = {choose.choice(_NAMES): choose.choice((*_NUMBERS, *_FLOATS))}
        case 5:
            return json.dumps(report).replace("1", choose.choice(("1" * 400, "-1", "1e999", "null", "1.5")), 1)
        case 6:
            return json.dumps(report)[: choose.randrange(200)]
        case _:
            report["unknown"] = "of a newer version"  # which is allowed
    return json.dumps(report, separators=(",", ":"))


HEADER_CHANGES: tuple[Change, ...] = (
    _change_offsets,
    _change_shape,
    _change_dtype,
    _exchange_dtypes,
    _change_name,
    _repeat_tensor,
    _add_tensor,
    _add_many_tensors,
    _drop_entry,
    _reorder,
    _change_field,
    _nest_deeply,
    _write_huge_number,
    _change_metadata,
    _change_report,
    _change_report,
)
