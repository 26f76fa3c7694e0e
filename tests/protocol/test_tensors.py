"""protocol/tensors.py: what is written is read, by the format's own library as well; nothing malformed gets in."""

import hashlib
import json
import math
import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocol import tensors
from protocol.tensors import (
    DTYPES,
    FLOATING,
    Array,
    Header,
    InvalidTensorsError,
    SchemaMismatchError,
    TensorSpec,
    check_schema,
    dump,
    encode_header,
    from_float32,
    header_length,
    kind_of,
    layout,
    load,
    parse_header,
    parse_message,
    read_array,
    schema_id,
    to_float32,
)

Content = tuple[dict[str, Array], dict[str, str]]
NAMES = st.text(max_size=12).filter(lambda name: name != "__metadata__")
SHAPES = st.lists(st.integers(0, 4), max_size=5).map(tuple)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Arrays of any bits, and their dtypes."""
    dtypes = draw(st.dictionaries(NAMES, st.sampled_from(sorted(DTYPES)), max_size=6))
    arrays = {}
    for name, dtype in dtypes.items():
        shape = draw(SHAPES)
        generator = np.random.default_rng(draw(st.integers(0, 2**32)))
        size = math.prod(shape) * DTYPES[dtype].itemsize
        data = generator.integers(0, 2 if dtype == "BOOL" else 256, size, dtype=np.uint8).tobytes()
        arrays[name] = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    return arrays, dtypes


def same(one: Array, other: Array) -> bool:
    """Equal to the bit: what is not a number as well."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def file_of(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[Any], start: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


# ---- What is written is read


@given(contents(), st.text(max_size=50))
def test_load_gives_back_what_dump_was_given(content: Content, message: str) -> None:
    arrays, dtypes = content
    header, loaded = load(dump(arrays, dtypes, message))
    assert header.message == message
    assert header.schema == {name: (dtypes[name], array.shape) for name, array in arrays.items()}
    assert loaded.keys() == arrays.keys()
    assert all(same(loaded[name], array) for name, array in arrays.items())


@given(contents(), st.data())
def test_the_same_tensors_give_the_same_bytes_whatever_their_order(content: Content, data: st.DataObject) -> None:
    arrays, dtypes = content
    names = data.draw(st.permutations(list(arrays)))
    buffers = data.draw(st.permutations([name for name in arrays if len(name) % 2]))
    expected = dump(arrays, dtypes, "{}", {name for name in arrays if len(name) % 2})
    assert dump({name: arrays[name] for name in names}, dict(reversed(dtypes.items())), b"{}", buffers) == expected


def test_memory_layout_does_not_change_the_bytes() -> None:
    matrix = np.arange(6, dtype="<f4").reshape(2, 3)
    expected = dump({"w": matrix}, {"w": "F32"}, "")
    assert dump({"w": np.asfortranarray(matrix)}, {"w": "F32"}, "") == expected
    assert dump({"w": np.repeat(matrix, 2, axis=1)[:, ::2]}, {"w": "F32"}, "") == expected


@given(contents())
def test_every_tensor_is_aligned_to_its_dtype(content: Content) -> None:
    arrays, dtypes = content
    header, _ = load(dump(arrays, dtypes, "é"))
    assert header.length % 8 == 0
    assert all(tensor.start % DTYPES[tensor.dtype].itemsize == 0 for tensor in header.tensors)


@given(contents())
def test_the_formats_own_library_reads_our_files(content: Content) -> None:
    arrays, dtypes = content
    data = dump(arrays, dtypes, '{"v": 1}')
    theirs = safetensors.torch.load(data)
    assert theirs.keys() == arrays.keys()
    for name, array in arrays.items():
        tensor = theirs[name]
        assert tuple(tensor.shape) == array.shape
        assert tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() == array.tobytes()


@given(contents(), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_we_read_the_files_of_the_formats_own_library(content: Content, metadata: dict[str, str]) -> None:
    arrays = {name: array for name, array in content[0].items() if content[1][name] != "BF16"}
    header, loaded = load(safetensors.numpy.save(arrays, metadata | {tensors.METADATA_KEY: "ours"}))
    assert header.message == "ours"
    assert loaded.keys() == arrays.keys()
    assert all(same(loaded[name], array) for name, array in arrays.items())


def test_we_read_bfloat16_of_the_formats_own_library() -> None:
    values = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    header, loaded = load(safetensors.torch.save({"w": values}))
    assert header.schema == {"w": ("BF16", (3, 5))}
    assert header.message == ""
    assert np.array_equal(to_float32(loaded["w"], "BF16"), values.float().numpy())


def test_a_file_of_no_tensors_is_a_file() -> None:
    header, loaded = load(dump({}, {}, "nothing"))
    assert (header.data_bytes, header.tensors, loaded) == (0, (), {})


def test_loading_copies_nothing_and_lets_no_one_write() -> None:
    data = dump({"w": np.ones(4, "<f4")}, {"w": "F32"}, "")
    array = load(data)[1]["w"]
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert not array.flags.writeable


def test_ranges_of_a_file_can_be_read_by_its_header() -> None:
    arrays: dict[str, Array] = {"a": np.arange(5, dtype="<f4"), "b": np.arange(3, dtype="<i8")}
    data = dump(arrays, {"a": "F32", "b": "I64"}, "message")
    length = header_length(data[:8])
    header = parse_header(data[:length], len(data))
    assert header == parse_header(memoryview(data), len(data))
    assert header.length == length
    assert header.length + header.data_bytes == len(data)
    for tensor in header.tensors:
        part = data[header.length + tensor.start : header.length + tensor.end]
        assert part == arrays[tensor.name].tobytes()
        assert same(read_array(header, tensor, data), arrays[tensor.name])


def test_wide_dtypes_come_first_parameters_before_buffers_then_names() -> None:
    schema = {"b": ("F32", (1,)), "n": ("I64", (1,)), "a": ("F32", (1,)), "h": ("F16", (3,)), "s": ("F32", (1,))}
    order = [tensor.name for tensor in layout(schema, buffers=["b", "h"])]
    assert order == ["n", "a", "s", "b", "h"]


def test_the_message_is_read_without_the_rest_of_the_header() -> None:
    data = dump({"w": np.ones(4, "<f4")}, {"w": "F32"}, '{"v": 1}')
    assert parse_message(data) == parse_message(data[: header_length(data)]) == '{"v": 1}'
    assert parse_message(file_of({"w": "anything", "__metadata__": {"other": 1}})) == ""
    assert parse_message(file_of({})) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack("<Q", 100) + b"{}",
        file_of(b"[]"),
        file_of(b'{"w": [1, 2}'),
        file_of({"__metadata__": {"fedgrass": 1}}),
        file_of({"__metadata__": None}),
        file_of(b'{"__metadata__": {"fedgrass": "\xff"}}'),
        file_of(b'{"w":' + b"[" * 1_000_000),
    ],
)
def test_a_message_of_a_malformed_header_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidTensorsError):
        parse_message(data)


# ---- What can't be written


def test_a_dtype_that_is_not_supported_is_named_with_its_tensor() -> None:
    with pytest.raises(InvalidTensorsError, match=r"'w'.*'F8_E4M3'.*F64, F32"):
        layout({"w": ("F8_E4M3", (1,))})


def test_an_array_of_another_dtype_than_declared_is_refused_by_name() -> None:
    with pytest.raises(InvalidTensorsError, match=r"'w' is float64, which is not F32"):
        dump({"w": np.zeros(1)}, {"w": "F32"}, "")
    with pytest.raises(InvalidTensorsError, match=r"'w' is >f4"):
        dump({"w": np.zeros(1, ">f4")}, {"w": "F32"}, "")


def test_no_tensor_takes_the_name_of_the_metadata() -> None:
    with pytest.raises(InvalidTensorsError, match="__metadata__"):
        dump({"__metadata__": np.zeros(1, "<f4")}, {"__metadata__": "F32"}, "")


# ---- What must not be read

GOOD = {"a": entry("F32", [2], 0, 8), "b": entry("I64", [1], 8, 16)}
GOOD_DATA = bytes(range(16))

MALFORMED: dict[str, bytes] = {
    "no bytes": b"",
    "seven bytes": b"\0" * 7,
    "a pickle": b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "a header longer than the file": struct.pack("<Q", 100) + b"{}",
    "a header over the limit": struct.pack("<Q", tensors.MAX_HEADER_BYTES + 1) + b"{}",
    "a header of 2**64 - 1 bytes": b"\xff" * 8 + b"{}",
    "an empty header": file_of(b""),
    "a header that is a list": file_of(b"[]"),
    "a header that is null": file_of(b"null"),
    "a header of two objects": file_of(b"{}{}"),
    "a header that is cut off": file_of(b'{"a":'),
    "a header that is not UTF-8": file_of(b'{"\xff": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'),
    "a dtype that is not UTF-8": file_of(b'{"a": {"dtype": "F32\xff", "shape": [0], "data_offsets": [0, 0]}}'),
    "half a surrogate": file_of(b'{"\\ud800": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'),
    "half a surrogate in the message": file_of(b'{"__metadata__": {"fedgrass": "\\ud800"}}'),
    "deep nesting": file_of(b'{"a":' + b"[" * 1_000_000),
    "deep nesting of objects": file_of(b'{"a":' * 1_000_000),
    "deep nesting in a shape": file_of(b'{"a": {"dtype": "F32", "shape": ' + b"[" * 100_000),
    "metadata that is no object": file_of({"__metadata__": []}),
    "metadata that is null": file_of({"__metadata__": None}),
    "metadata with a number": file_of({"__metadata__": {"fedgrass": 1}}),
    "an entry that is null": file_of({"a": None}),
    "an entry without a dtype": file_of({"a": {"shape": [0], "data_offsets": [0, 0]}}),
    "an entry without a shape": file_of({"a": {"dtype": "F32", "data_offsets": [0, 0]}}),
    "an entry without offsets": file_of({"a": {"dtype": "F32", "shape": [0]}}),
    "an entry with something else": file_of({"a": entry("F32", [0], 0, 0) | {"url": "http://example.com"}}),
    "an unknown dtype": file_of({"a": entry("F8_E4M3", [8], 0, 8)}, bytes(8)),
    "a dtype in small letters": file_of({"a": entry("f32", [2], 0, 8)}, bytes(8)),
    "a dtype that is no text": file_of({"a": {"dtype": 1, "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "a negative dimension": file_of({"a": entry("F32", [-2], 0, 8)}, bytes(8)),
    "two negative dimensions": file_of({"a": entry("F32", [-1, -2], 0, 8)}, bytes(8)),
    "a negative dimension of an empty tensor": file_of({"a": entry("F32", [-1, 0], 0, 0)}),
    "a dimension that is a fraction": file_of({"a": entry("F32", [2.0], 0, 8)}, bytes(8)),
    "a dimension that is true": file_of({"a": entry("F32", [True], 0, 4)}, bytes(4)),
    "a huge dimension": file_of({"a": entry("F32", [2**62], 0, 8)}, bytes(8)),
    "a huge dimension of an empty tensor": file_of({"a": entry("F32", [2**70, 0], 0, 0)}),
    "huge dimensions of an empty tensor": file_of({"a": entry("F32", [2**62, 2**62, 0], 0, 0)}),
    "a product that overflows 64 bits": file_of({"a": entry("F32", [2**32, 2**32, 2], 0, 8)}, bytes(8)),
    "a dimension of thousands of digits": file_of(
        b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 0]}}'
    ),
    "too many dimensions": file_of({"a": entry("F32", [1] * 33, 0, 4)}, bytes(4)),
    "far too many dimensions": file_of({"a": entry("F32", [1] * 100_000, 0, 4)}, bytes(4)),
    "a shape that is a number": file_of({"a": {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}}, bytes(8)),
    "one offset": file_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8]}}, bytes(8)),
    "three offsets": file_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 8]}}, bytes(8)),
    "offsets that are text": file_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": "08"}}, bytes(8)),
    "a negative offset": file_of({"a": entry("F32", [2], -8, 0)}),
    "offsets the wrong way round": file_of({"a": entry("F32", [2], 8, 0)}, bytes(8)),
    "a huge offset": file_of({"a": entry("F32", [2], 2**63, 2**63 + 8)}, bytes(8)),
    "tensors that overlap": file_of(GOOD | {"b": entry("I64", [1], 4, 12)}, bytes(12)),
    "tensors in the same place": file_of(GOOD | {"b": entry("I64", [1], 0, 8)}, bytes(8)),
    "a tensor inside another": file_of({"a": entry("F32", [4], 0, 16), "b": entry("F32", [1], 4, 8)}, bytes(16)),
    "a hole between tensors": file_of(GOOD | {"b": entry("I64", [1], 9, 17)}, bytes(17)),
    "a hole before the first": file_of({"a": entry("F32", [2], 1, 9)}, bytes(9)),
    "more bytes than the shape has": file_of({"a": entry("F32", [2], 0, 12)}, bytes(12)),
    "fewer bytes than the shape has": file_of({"a": entry("F32", [2], 0, 4)}, bytes(4)),
    "an empty tensor with bytes": file_of({"a": entry("F32", [0], 0, 4)}, bytes(4)),
    "bytes that are missing": file_of(GOOD, GOOD_DATA[:-1]),
    "bytes after the last tensor": file_of(GOOD, GOOD_DATA + b"\0"),
    "bytes of no tensor": file_of({}, b"\0"),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidTensorsError):
        load(data)


def test_the_good_file_of_which_the_malformed_ones_are_made_is_read() -> None:
    assert load(file_of(GOOD, GOOD_DATA))[0].schema == {"a": ("F32", (2,)), "b": ("I64", (1,))}


def test_a_refusal_names_the_tensor() -> None:
    for case in ("a negative dimension", "an unknown dtype", "more bytes than the shape has"):
        with pytest.raises(InvalidTensorsError, match="'a'"):
            load(MALFORMED[case])


def test_a_header_that_declares_more_than_the_file_has_allocates_nothing() -> None:
    declared = file_of({"a": entry("F64", [2**40], 0, 2**43)})
    with pytest.raises(InvalidTensorsError, match=str(2**43 + len(declared))):
        load(declared)


def test_each_truncation_of_a_file_is_refused() -> None:
    arrays: dict[str, Array] = {"a": np.arange(5, dtype="<f4"), "b": np.arange(3, dtype="<i8"), "c": np.array(True)}
    data = dump(arrays, {"a": "F32", "b": "I64", "c": "BOOL"}, '{"v": 1}')
    for length in range(len(data)):
        with pytest.raises(InvalidTensorsError):
            load(data[:length])


def test_of_a_repeated_name_one_tensor_counts_and_the_rest_must_still_fit() -> None:
    twice = b'{"a": {"dtype": "I64", "shape": [9], "data_offsets": [0, 72]}, "a": %s}'
    last = json.dumps(entry("F32", [2], 0, 8)).encode()
    assert load(file_of(twice % last, bytes(8)))[0].schema == {"a": ("F32", (2,))}
    with pytest.raises(InvalidTensorsError):
        load(file_of(twice % last, bytes(72)))


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """The file with bits flipped, bytes replaced, parts cut out, doubled or exchanged, numbers changed."""
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    header = header_length(data[:8])
    words = [b"0", b"-1", b"9", b"18446744073709551616", b"null", b"[", b"]", b"{", b"}", b'"', b",", b"F64", b"\xff"]
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(generator.randint(1, 4)):
            where = generator.randrange(header if generator.random() < 0.8 else len(changed)) % max(1, len(changed))
            length = generator.randint(1, 8)
            match generator.randrange(5):
                case 0:
                    changed[where : where + 1] = bytes([changed[where] ^ (1 << generator.randrange(8))])
                case 1:
                    changed[where : where + length] = generator.randbytes(length)
                case 2:
                    del changed[where : where + length]
                case 3:
                    changed[where:where] = changed[where : where + length]
                case _:
                    changed[where : where + 1] = generator.choice(words)
        if generator.random() < 0.5 and len(changed) >= 8:  # let the length fit, so that the JSON is looked at
            changed[:8] = struct.pack("<Q", max(0, len(changed) - (len(data) - header) - 8))
        yield bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_refused_or_read_exactly_as_their_bytes_say(seed: int) -> None:
    arrays: dict[str, Array] = {
        "layer.weight": np.arange(6, dtype="<f4").reshape(2, 3),
        "layer.bias": np.arange(3, dtype="<f2"),
        "count": np.array(7, "<i8"),
        "empty": np.zeros((0, 4), "<f8"),
    }
    data = dump(arrays, {"layer.weight": "F32", "layer.bias": "F16", "count": "I64", "empty": "F64"}, '{"v": 1}')
    accepted = 0
    for changed in mutations(data, 2000, seed):
        try:
            header, loaded = load(changed)
        except InvalidTensorsError:
            continue
        accepted += 1
        check_consistent(changed, header, loaded)
    assert accepted  # otherwise the mutations are too coarse to tell anything


def check_consistent(data: bytes, header: Header, loaded: dict[str, Array]) -> None:
    """A file that is accepted is covered by its tensors, each byte by one, as its header's JSON says."""
    (length,) = struct.unpack("<Q", data[:8])
    raw = json.loads(data[8 : 8 + length])
    raw.pop("__metadata__", None)
    assert header.length == 8 + length
    assert b"".join(loaded[tensor.name].tobytes() for tensor in header.tensors) == data[header.length :]
    assert {
        tensor.name: entry(tensor.dtype, list(tensor.shape), tensor.start, tensor.end) for tensor in header.tensors
    } == raw
    for tensor in header.tensors:
        assert loaded[tensor.name].dtype == DTYPES[tensor.dtype]
        assert loaded[tensor.name].shape == tensor.shape


@given(st.binary(max_size=300))
def test_whatever_bytes_come_only_invalid_tensors_are_raised(data: bytes) -> None:
    for candidate in (data, file_of(data), file_of(b"{" + data + b"}")):
        try:
            load(candidate)
        except InvalidTensorsError:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.text(max_size=3) | st.just("__metadata__"),
        JSON
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(sorted(DTYPES)) | JSON,
                "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=4) | JSON,
                "data_offsets": st.tuples(st.integers(0, 32), st.integers(0, 32)) | JSON,
            }
        ),
        max_size=3,
    ),
    st.binary(max_size=32),
)
def test_whatever_header_comes_only_invalid_tensors_are_raised(header: dict[str, Any], data: bytes) -> None:
    content = file_of(header, data)
    try:
        parsed, loaded = load(content)
    except InvalidTensorsError:
        return
    check_consistent(content, parsed, loaded)


# ---- bfloat16 and float16


def bits_of(values: NDArray[np.float32], dtype: torch.dtype) -> NDArray[np.uint16]:
    """The values in another dtype as torch has them, as bits."""
    return torch.from_numpy(values.copy()).to(dtype).view(torch.int16).numpy().view(np.uint16)


def test_every_bfloat16_has_the_value_that_torch_gives_it() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    theirs = torch.from_numpy(bits.view(np.int16).copy()).view(torch.bfloat16).float().numpy()
    ours = to_float32(bits, "BF16")
    assert ours.dtype == np.float32
    assert np.array_equal(ours, theirs, equal_nan=True)


def test_every_bfloat16_survives_float32() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    values = to_float32(bits, "BF16")
    numbers = ~np.isnan(values)
    assert np.array_equal(from_float32(values, "BF16")[numbers], bits[numbers])


@pytest.mark.parametrize(("dtype", "theirs"), [("BF16", torch.bfloat16), ("F16", torch.float16)])
def test_float32_is_rounded_to_two_bytes_as_torch_does(dtype: str, theirs: torch.dtype) -> None:
    generator = np.random.default_rng(1)
    any_bits = generator.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    ties = ((generator.integers(0, 2**16, 50_000, dtype=np.uint32) << 16) | 0x8000).view(np.float32)
    with np.errstate(invalid="ignore"):
        around_ties = np.nextafter(ties, np.float32(0))
    usual = generator.normal(size=100_000).astype(np.float32)
    special = np.array([0.0, -0.0, np.inf, -np.inf, 3.4028235e38, -3.4028235e38, 65504, 65520, 1e-45], np.float32)
    values = np.concatenate([any_bits, ties, around_ties, usual, special])
    numbers = ~np.isnan(values)
    with np.errstate(over="ignore"):
        ours = from_float32(values, dtype).view(np.uint16)
    assert np.array_equal(ours[numbers], bits_of(values, theirs)[numbers])
    assert np.isnan(to_float32(from_float32(values[~numbers], dtype), dtype)).all()


@given(st.floats(width=32), SHAPES)
def test_conversions_keep_the_shape(value: float, shape: tuple[int, ...]) -> None:
    assume(math.isfinite(value) and abs(value) < 6e4)
    values = np.full(shape, value, np.float32)
    for dtype in FLOATING:
        stored = from_float32(values, dtype)
        assert stored.dtype == DTYPES[dtype]
        assert np.shape(stored) == shape
        assert np.shape(to_float32(stored, dtype)) == shape


# ---- Schemas

SCHEMA: dict[str, tuple[str, tuple[int, ...]]] = {"w": ("F32", (2, 3)), "n": ("I64", ())}


def header_of(schema: dict[str, tuple[str, tuple[int, ...]]]) -> Header:
    encoded = encode_header(layout(schema), "")
    specs = layout(schema)
    return parse_header(encoded, len(encoded) + (specs[-1].end if specs else 0))


def test_a_file_with_just_the_expected_tensors_passes() -> None:
    check_schema(header_of(SCHEMA), SCHEMA)
    check_schema(header_of(SCHEMA), dict(reversed(SCHEMA.items())))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"n": SCHEMA["n"]}, "'w' is missing"),
        (SCHEMA | {"x": ("F32", (1,))}, "'x' is not one of the model's"),
        (SCHEMA | {"w": ("F64", (2, 3))}, r"'w' is F64 \[2, 3\], the model needs F32 \[2, 3\]"),
        (SCHEMA | {"w": ("F32", (3, 2))}, r"'w' is F32 \[3, 2\], the model needs F32 \[2, 3\]"),
        (SCHEMA | {"w": ("F32", (6,))}, r"'w' is F32 \[6\], the model needs F32 \[2, 3\]"),
        (SCHEMA | {"n": ("I64", (1,))}, r"'n' is I64 \[1\], the model needs I64 \[\]"),
        ({}, "is missing"),
    ],
)
def test_a_file_of_another_schema_is_refused_and_the_tensor_named(
    found: dict[str, tuple[str, tuple[int, ...]]], text: str
) -> None:
    with pytest.raises(SchemaMismatchError, match=text):
        check_schema(header_of(found), SCHEMA)


@given(st.permutations(list(SCHEMA.items())))
def test_a_schemas_id_does_not_depend_on_its_order(
    items: list[tuple[str, tuple[str, tuple[int, ...]]]],
) -> None:
    assert schema_id(dict(items)) == schema_id(SCHEMA)


def test_schemas_that_differ_have_different_ids() -> None:
    others = [
        SCHEMA | {"w": ("F16", (2, 3))},
        SCHEMA | {"w": ("F32", (3, 2))},
        SCHEMA | {"x": ("F32", (2, 3))},
        {"w": SCHEMA["w"]},
        {"w": SCHEMA["n"], "n": SCHEMA["w"]},
    ]
    assert len({schema_id(schema) for schema in [SCHEMA, *others]}) == 1 + len(others)


def test_tensors_are_trained_averaged_only_or_counted() -> None:
    def spec(name: str, dtype: str) -> TensorSpec:
        return TensorSpec(name, dtype, (1,), 0, DTYPES[dtype].itemsize)

    assert kind_of(spec("w", "F32"), ["running_mean"]) == "parameter"
    assert kind_of(spec("running_mean", "BF16"), ["running_mean"]) == "buffer"
    assert kind_of(spec("running_mean", "I64"), ["running_mean"]) == "integer"
    assert kind_of(spec("flag", "BOOL"), []) == "integer"


def test_the_layout_of_a_known_model_never_changes() -> None:
    """Stored models and updates of devices that were not updated yet must stay readable, to the byte."""
    arrays: dict[str, Array] = {"w": np.arange(4, dtype="<f4"), "h": np.arange(2, dtype="<f2"), "n": np.array(3, "<i8")}
    data = dump(arrays, {"w": "F32", "h": "F16", "n": "I64"}, '{"v":1}')
    header = (
        b'{"__metadata__":{"fedgrass":"{\\"v\\":1}"},"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},'
        b'"w":{"dtype":"F32","shape":[4],"data_offsets":[8,24]},"h":{"dtype":"F16","shape":[2],"data_offsets":[24,28]}}'
    )
    header += b" " * (-len(header) % 8)
    body = arrays["n"].tobytes() + arrays["w"].tobytes() + arrays["h"].tobytes()
    assert hashlib.sha256(data).digest() == hashlib.sha256(struct.pack("<Q", len(header)) + header + body).digest()
