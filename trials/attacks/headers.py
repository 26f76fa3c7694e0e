"""Attacks by an update's header, and by files that are no update."""

import io
import json
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from protocol.messages import encode
from trials.attacks.attack import BESIDE, UnexplainedError, Verdict, accepted, attack, refused
from trials.attacks.example_updates import changed, layout_of, update_of, with_report
from trials.attacks.target import Target

_EXACT = "but for the report, a header has to be, byte by byte, the one that fedgrass writes"
_BYTES = 36


def _tensors() -> dict[str, dict[str, Any]]:
    return {
        tensor.name: {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [tensor.start, tensor.end]}
        for tensor in layout_of().tensors
    }


def _file(target: Target, entries: object, data: bytes = bytes(_BYTES)) -> bytes:
    """A file with these tensors in its header, and a good report."""
    metadata = {"__metadata__": {"fedgrass": encode(target.report()).decode()}}
    return _framed(json.dumps(metadata | entries if isinstance(entries, dict) else entries).encode(), data)


def _framed(header: bytes, data: bytes = bytes(_BYTES), length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _changed_tensor(target: Target, **fields: object) -> bytes:
    entries = _tensors()
    return _file(target, entries | {"w": entries["w"] | fields})


def _refused(target: Target, *bodies: bytes) -> Verdict:
    """The verdict on files that are no good update."""
    return target.refuses_all(bodies, "malformed", "wrong schema")


@attack("lengths are bounded before anything is allocated")
def lie_about_the_headers_length(target: Target) -> Verdict:
    """Say that the header has 2^64 - 1 bytes, more than the file, none, or that of the limit."""
    good = update_of(target.report(), 1.0)
    lengths = (2**64 - 1, 2**63, 10_000_001, 9_999_999, len(good), 0, 1)
    return _refused(target, *(struct.pack("<Q", length) + good[8:] for length in lengths))


@attack("a header is no longer than a good one with the longest report")
def send_a_long_header(target: Target) -> Verdict:
    """Send a header of 150 kB of spaces, of names, or of metadata."""
    entries, spaces = _tensors(), b" " * 130_000
    header = json.dumps({"__metadata__": {"fedgrass": encode(target.report()).decode()}} | entries).encode()
    many = {f"t{number}": entries["w"] for number in range(600)}
    return _refused(target, *[_framed(header + spaces), _file(target, entries | many)])


@attack(_EXACT)
def lie_about_shapes(target: Target) -> Verdict:
    """Give a tensor another shape: of 2^62 rows, negative, empty, of 40 dimensions, or transposed."""
    shapes: list[object] = [[2**62, 4], [-2, -3], [], [0], [1] * 40, [3, 2], [6], [2.0, 3], "23", None]
    return _refused(target, *(_changed_tensor(target, shape=shape) for shape in shapes))


@attack(_EXACT)
def lie_about_types(target: Target) -> Verdict:
    """Give a tensor another type: F64, F8, a complex one, one in small letters, or none."""
    dtypes: list[object] = ["F64", "F16", "I32", "U32", "F8_E4M3", "F8_E5M2", "C64", "BOOL", "f32", "O", "", None, 7]
    return _refused(target, *(_changed_tensor(target, dtype=dtype) for dtype in dtypes))


@attack(_EXACT)
def lie_about_places(target: Target) -> Verdict:
    """Give a tensor other places: that overlap, leave holes, are negative, reversed, or beyond the file."""
    places: list[object] = [[0, 24], [12, 36], [8, 40], [-24, 0], [32, 8], [8, 2**63], [2**64, 2**64 + 24], [8], None]
    return _refused(target, *(_changed_tensor(target, data_offsets=place) for place in places))


@attack(_EXACT)
def change_the_set_of_tensors(target: Target) -> Verdict:
    """Leave a tensor out, add one, rename one, or change two."""
    entries = _tensors()
    without = {name: entry for name, entry in entries.items() if name != "s"}
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [36, 36]}
    renamed = without | {"S": entries["s"]}
    hidden = without | {"s\u0000": entries["s"]}
    return _refused(
        target,
        *[
            _file(target, without, bytes(32)),
            _file(target, entries | {"more": empty}),
            _file(target, renamed),
            _file(target, hidden),
            _file(target, {"__metadata__": {}}, b""),
        ],
    )


@attack(_EXACT)
def spell_the_header_otherwise(target: Target) -> Verdict:
    """Write the same header so that two readers may read two things: names twice, escaped, in another order."""
    good = update_of(target.report(), 1.0)
    (length,) = struct.unpack("<Q", good[:8])
    header, data = good[8 : 8 + length].decode(), good[8 + length :]
    entry = '"w":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]}'
    spelled = (
        header.replace('"w"', '"\\u0077"'),
        header.replace(entry, f"{entry},{entry}"),
        header.replace(entry, f'{entry},"s":{{"dtype":"I8","shape":[4],"data_offsets":[32,36]}}'),
        header.replace('"__metadata__"', '"__metadata__":{"fedgrass":"{}"},"__metadata__"', 1),
        header.replace('{"fedgrass"', '{"fedgrass":"{}","fedgrass"', 1),
        header.replace("[2,3]", "[2, 3]"),
        header + "\n",
        "\ufeff" + header,
        json.dumps(dict(reversed(json.loads(header).items()))),
    )
    if header in spelled:
        raise UnexplainedError("a spelling is the header's own")
    return _refused(target, *(_framed(each.encode(), data) for each in spelled))


@attack("a file is as long as its header says")
def cut_or_lengthen_the_data(target: Target) -> Verdict:
    """Send an update that is cut off, empty, or has bytes after its end."""
    good = update_of(target.report(), 1.0)
    return _refused(target, *[good[:-1], good[:-36], good[:100], good[:7], b"", good + b"\0", good + good])


@attack("nothing is unpickled")
def send_a_pickle(target: Target) -> Verdict:
    """Send a pickle, and a .pt file with one, that write a file where they are read."""
    with tempfile.TemporaryDirectory() as directory:
        trace = Path(directory) / "ran"

        class Code:
            def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
                return Path.touch, (trace,)

        code = pickle.dumps(Code())
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("archive/data.pkl", code)
        inside = with_report(changed(target.report(), describe={"x": code.hex()}))
        verdict = _refused(target, code, archive.getvalue(), inside)
        return accepted("its code has run") if trace.exists() else verdict


@attack("a header is JSON of one depth")
def nest_the_header(target: Target) -> Verdict:
    """Send headers that are nested 20,000 times, no JSON, no object, or no text."""
    deep = b'{"__metadata__":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001
    others = (b"[" * 20_000 + b"]" * 20_000, b"[]", b"null", b"\xff" * 100, b"{", b"")
    return _refused(target, *map(_framed, (deep, *others)))


@attack("a report is at most 64 kB, of version 1, and well-formed")
def send_other_reports(target: Target) -> Verdict:
    """Send reports that are none, of another version, too long, nested, or say things of another type."""
    report = target.report()
    fields: list[dict[str, Any]] = [
        {"v": 2},
        {"v": "1"},
        {"v": None},
        {"federation": 7},
        {"thing": None},
        {"thing": [target.member.thing]},
        {"base": "x"},
        {"base": "A" * 64},
        {"encoding": "float8"},
        {"timings": {}},
        {"timings": None},
        {"describe": {"x": "1"}},
        {"describe": {"x": {"y": 1}}},
        {"life": "../../x"},
        {"round": 1.5},
        {"round": 0},
        {"round": 2**64},
    ]
    deep = b"[" * 20_000 + b"]" * 20_000
    good = encode(report)
    odd = [
        good.replace(b'"describe":{}', b'"describe":{%b}' % each)
        for each in (b'"x":1e400', b'"x":NaN', b'"\\ud800":1', b'"x":%b' % (b"1" * 5000), b'"x":' + deep)
    ]
    other: list[bytes] = [*odd, b"", b"{}", b"[]", b'{"v":1}', b'{"v":1,"x":' + deep + b"}"]
    return _refused(target, *[*(with_report(changed(report, **each)) for each in fields), *map(with_report, other)])


@attack("a report is at most 64 kB")
def flood_the_report_with_names(target: Target) -> Verdict:
    """Send a report with 10,000 metrics and numbers of its own, or with one name of 70 kB."""
    many = {f"name-{number}": 1.0 for number in range(10_000)}
    reports = [target.report(describe=many), target.report(before=many), target.report(after={"x" * 70_000: 1.0})]
    bodies = [update_of(report, 1.0) for report in reports]
    return target.refuses_all(bodies, "malformed: a report of", "bytes; at most")


@attack("a thing is a report's last word on it, and that has to be the key's", BESIDE)
def say_things_twice(target: Target) -> Verdict:
    """Send a report whose fields come twice, first another's name and then its own, and fields that there are not."""
    about = encode(target.report())
    twice = b'{"thing":"%s","examples":9007199254740992,"admin":true,' % target.victim.encode() + about[1:]
    target.uploads(update_of(twice, 3.0))
    found = target.counted()
    if found.report is None or (found.report.thing, found.report.examples) != (target.member.thing, 10):
        return accepted(f"counted as {found}")
    return refused("read as one update of its own")


@attack("the encoding is the one that was asked for")
def use_another_encoding(target: Target) -> Verdict:
    """Send int8 and bfloat16 where float32 was asked for, or say float32 of them."""
    report = target.report()
    bodies = [update_of(target.report(encoding=each), 1.0, encoding=each) for each in ("int8", "bfloat16")]
    lies = [update_of(report, 1.0, encoding=each) for each in ("int8", "bfloat16")]
    return target.refuses_all([*bodies, *lies], "wrong encoding", "wrong schema", "malformed")
