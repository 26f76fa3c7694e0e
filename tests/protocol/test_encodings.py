"""protocol/encodings.py: updates travel in few bytes, any range of them can be read, and what is lost is only late."""

import itertools
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import messages
from protocol.encoding_traits import traits_of
from protocol.encodings import (
    BLOCK,
    SCALES,
    Encoded,
    Floats,
    NotFiniteError,
    UpdateLayout,
    blocks,
    buffer_range,
    check_layout,
    decode,
    dump,
    encode,
    encode_floats,
    integer_range,
    parameter_range,
    scale_range,
    update_layout,
)
from protocol.messages import Encoding, ModelHeader
from protocol.tensors import (
    DTYPES,
    FLOATING,
    Header,
    InvalidTensorsError,
    SchemaMismatchError,
    encode_header,
    layout,
    load,
    parse_header,
)

ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
LOSSY = [encoding for encoding in ENCODINGS if traits_of(encoding).is_lossy]

MIXED: dict[str, tuple[str, tuple[int, ...]]] = {
    "double": ("F64", (3, 5)),
    "weight": ("F32", (11, 13)),
    "tied.weight": ("F32", (11, 13)),
    "mean": ("F32", (7,)),
    "scalar": ("F32", ()),
    "empty": ("F32", (0, 4)),
    "half": ("F16", (150,)),
    "brain": ("BF16", (2, 3)),
    "count": ("I64", ()),
    "few": ("I32", (3,)),
    "none": ("I32", (0,)),
    "bytes": ("U8", (5,)),
    "mask": ("BOOL", (2, 2)),
}
BUFFERS = ("mean",)


def model_header(schema: dict[str, tuple[str, tuple[int, ...]]] = MIXED) -> Header:
    """The header of a model's file, as it is read."""
    tensors = layout(schema, BUFFERS)
    first = encode_header(tensors, "")
    return parse_header(first, len(first) + (tensors[-1].end if tensors else 0))


def arrays(count: int, seed: int, scale: float = 1.0) -> Floats:
    """Differences as training gives them: most small, some large, some zero."""
    generator = np.random.default_rng(seed)
    values = generator.standard_t(3, count) * scale
    values[generator.random(count) < 0.1] = 0
    return values.astype(np.float32)


def decoded(encoded: Encoded, encoding: Encoding) -> Floats:
    out = np.full(len(encoded.values), np.nan, np.float32)
    decode(encoding, encoded.values.tobytes(), out, 0, encoded.scales.tobytes())
    return out


def written(encoding: Encoding, seed: int = 0) -> tuple[UpdateLayout, Floats, bytes]:
    """An update of the mixed model: its layout, its float coordinates as they are decoded, and its file."""
    where = update_layout(model_header(), encoding)
    encoded = encode(arrays(where.n_float, seed), encoding)
    integers = np.arange(where.n_int, dtype=np.int64) - 3
    return where, decoded(encoded, encoding), dump(where, integers, encoded, '{"v":1}')


# ---- The layout


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_coordinates_of_an_update_are_in_the_order_of_the_models_file(encoding: Encoding) -> None:
    model = model_header()
    where = update_layout(model, encoding)
    floating = [tensor for tensor in model.tensors if tensor.dtype in FLOATING]
    others = [tensor for tensor in model.tensors if tensor.dtype not in FLOATING]
    for tensors, places, count in ((floating, where.floats, where.n_float), (others, where.integers, where.n_int)):
        assert [tensor.name for tensor in tensors] == [place.name for place in places]
        assert [tensor.dtype for tensor in tensors] == [place.dtype for place in places]
        position = 0
        for tensor, place in zip(tensors, places, strict=True):
            assert (place.start, place.stop, place.shape) == (position, position + tensor.size, tensor.shape)
            position = place.stop
        assert position == count


def test_an_update_does_not_sort_what_the_model_does_not_sort() -> None:
    """By name alone, b would come before the others: the model has its doubles first, and its buffers last."""
    schema: dict[str, tuple[str, tuple[int, ...]]] = {
        "mean": ("F32", (1,)),
        "z": ("F64", (1,)),
        "x": ("F32", (1,)),
        "b": ("BF16", (1,)),
    }
    assert [tensor.name for tensor in update_layout(model_header(schema), "float32").tensors] == ["z", "x", "mean", "b"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_update_is_a_file_of_the_layouts_tensors(encoding: Encoding) -> None:
    where, floats, data = written(encoding)
    header, tensors = load(data)
    check_layout(header, where)
    assert header.tensors == where.tensors
    assert (header.data_bytes, header.message) == (where.data_bytes, '{"v":1}')
    assert len(encode_header(where.tensors, "")) == where.header_bytes
    assert tensors.keys() == MIXED.keys() | ({SCALES} if encoding == "int8" else set())
    for name, (dtype, shape) in MIXED.items():
        expected = traits_of(encoding).dtype if dtype in FLOATING else "I64"
        assert (header.schema[name], tensors[name].shape) == ((expected, shape), shape)
    for place in where.integers:
        flat = np.arange(place.start, place.stop) - 3
        assert tensors[place.name].ravel().tolist() == flat.tolist()
    if encoding == "float32":
        for place in where.floats:
            assert np.array_equal(tensors[place.name].ravel(), floats[place.start : place.stop])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_region_is_aligned_to_its_dtype(encoding: Encoding) -> None:
    where, _, data = written(encoding)
    assert parse_header(data, len(data)).length % 8 == 0
    assert all(tensor.start % DTYPES[tensor.dtype].itemsize == 0 for tensor in where.tensors)


def test_a_coordinate_is_of_the_tensor_that_has_it() -> None:
    where = update_layout(model_header(), "int8")
    for place in where.floats:
        for coordinate in range(place.start, place.stop):
            assert where.tensor_of(coordinate) == place.name


def test_bytes_on_the_wire_are_a_half_and_little_more_than_a_quarter() -> None:
    header = model_header({"w": ("F32", (1000, 1280))})
    sizes = {encoding: update_layout(header, encoding).data_bytes for encoding in ENCODINGS}
    assert sizes == {"float32": 5_120_000, "bfloat16": 2_560_000, "int8": 1_280_000 + 40_000}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_model_with_the_name_that_is_kept_for_scales_is_refused(encoding: Encoding) -> None:
    with pytest.raises(InvalidTensorsError, match=r"fedgrass\.\.scales"):
        update_layout(model_header({SCALES: ("F32", (1,))}), encoding)


@pytest.mark.parametrize("schema", [{}, {"empty": ("F32", (0,))}, {"n": ("I64", (2,))}])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_model_without_float_coordinates_has_updates(
    schema: dict[str, tuple[str, tuple[int, ...]]], encoding: Encoding
) -> None:
    where = update_layout(model_header(schema), encoding)
    encoded = encode(np.zeros(0, np.float32), encoding)
    header, _ = load(dump(where, np.zeros(where.n_int, np.int64), encoded, ""))
    check_layout(header, where)
    assert (where.n_float, parameter_range(where, 0, 0)) == (0, (where.data_bytes, where.data_bytes))


def test_tensors_in_another_place_are_refused_by_name() -> None:
    where = update_layout(model_header({"a": ("F32", (2,)), "b": ("F32", (2,))}), "float32")
    other = encode_header(layout({"a": ("F32", (2,)), "b": ("F32", (2,))}, ["a"]), "")
    with pytest.raises(SchemaMismatchError, match=r"'b' is at bytes 0 to 8, the model needs it at 8 to 16"):
        check_layout(parse_header(other, len(other) + 16), where)


# ---- Ranges


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.data())
def test_any_range_decodes_to_the_same_bits_as_the_whole(encoding: Encoding, data: st.DataObject) -> None:
    where, floats, file = written(encoding)
    body = file[len(file) - where.data_bytes :]
    cuts = data.draw(st.lists(st.integers(0, where.n_float), max_size=6).map(sorted))
    edges = [0, *cuts, where.n_float]
    out = np.full(where.n_float, np.nan, np.float32)
    for first, stop in itertools.pairwise(edges):
        values = body[slice(*parameter_range(where, first, stop))]
        scales = body[slice(*scale_range(where, first, stop))]
        decode(encoding, values, out[first:stop], first, scales)
    assert out.tobytes() == floats.tobytes()


def test_every_short_range_of_int8_decodes_to_the_same_bits_as_the_whole() -> None:
    where, floats, file = written("int8")
    body = memoryview(file)[len(file) - where.data_bytes :]
    assert where.n_float > 3 * BLOCK
    for first in range(where.n_float):
        for stop in {first, first + 1, min(first + BLOCK, where.n_float), where.n_float}:
            if stop > where.n_float:
                continue
            out = np.empty(stop - first, np.float32)
            values, scales = (body[slice(*of(where, first, stop))] for of in (parameter_range, scale_range))
            decode("int8", values, out, first, scales)
            assert out.tobytes() == floats[first:stop].tobytes()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_regions_lie_behind_each_other_and_fill_the_file(encoding: Encoding) -> None:
    where, _, _ = written(encoding)
    integers = integer_range(0, where.n_int)
    scales, floats = scale_range(where, 0, where.n_float), parameter_range(where, 0, where.n_float)
    assert (integers[0], integers[1], scales[1], floats[1]) == (0, scales[0], floats[0], where.data_bytes)
    count = blocks(where.n_float) if encoding == "int8" else 0
    assert scales[1] - scales[0] == 4 * count


# ---- What is lost

VALUES = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**120), max_value=2.0**120)


@given(st.lists(VALUES, max_size=300))
def test_float32_loses_nothing(values: list[float]) -> None:
    delta = np.array(values, np.float32)
    encoded = encode(delta, "float32")
    assert decoded(encoded, "float32").tobytes() == delta.tobytes()
    assert encoded.residual is None


@given(st.lists(VALUES, max_size=300))
def test_bfloat16_is_off_by_at_most_half_of_its_last_bit(values: list[float]) -> None:
    delta = np.array(values, np.float32)
    error = np.abs(decoded(encode(delta, "bfloat16"), "bfloat16").astype(np.float64) - delta)
    assert (error <= np.abs(delta.astype(np.float64)) * 2.0**-8 + 2.0**-134).all()


@given(st.lists(VALUES, max_size=300))
def test_int8_is_off_by_at_most_half_of_its_blocks_step(values: list[float]) -> None:
    delta = np.array(values, np.float32)
    encoded = encode(delta, "int8")
    error = np.abs(decoded(encoded, "int8").astype(np.float64) - delta)
    for block in range(blocks(len(delta))):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        largest = float(np.abs(delta[part]).max())
        assert math.isclose(float(encoded.scales[block]), largest / 127, rel_tol=1e-6, abs_tol=2.0**-149)
        # A scale is rounded to float32, among the subnormal numbers by up to half of the smallest one.
        assert (error[part] <= largest / 254 * (1 + 1e-4) + 127 * 2.0**-150).all()


def test_the_largest_values_of_a_block_are_the_ends_of_int8() -> None:
    encoded = encode(np.array([1.0, -1.0, 0.0, 0.5] + [0.0] * 124 + [0.0, -0.0], np.float32), "int8")
    assert encoded.values.tolist() == [127, -127, 0, 64] + [0] * 126
    assert encoded.scales.tolist() == [np.float32(1 / 127), 0.0]


@pytest.mark.parametrize("encoding", LOSSY)
@given(st.lists(VALUES, max_size=300))
def test_what_is_encoded_and_what_is_left_are_the_whole(encoding: Encoding, values: list[float]) -> None:
    delta = np.array(values, np.float32)
    encoded = encode(delta, encoding)
    assert encoded.residual is not None
    total = decoded(encoded, encoding).astype(np.float64) + encoded.residual
    np.testing.assert_allclose(total, delta, rtol=1e-6, atol=2.0**-149)


@pytest.mark.parametrize("encoding", LOSSY)
def test_the_error_of_many_rounds_stays_that_of_one_with_feedback_and_grows_without(encoding: Encoding) -> None:
    """One and the same small step, round after round, beside a large one in its block: rounding always errs alike."""
    rounds, count = 300, 4 * BLOCK
    step = np.full(count, 1.003, np.float32)
    step[::BLOCK] = 100.0
    sent, sent_without = np.zeros(count), np.zeros(count)
    residual = None
    largest = 0.0
    for done in range(1, rounds + 1):
        encoded = encode(step, encoding, residual)
        residual = encoded.residual
        sent += decoded(encoded, encoding)
        sent_without += decoded(encode(step, encoding), encoding)
        largest = max(largest, float(np.abs(sent - done * step.astype(np.float64)).max()))
    one_round = 100.0 / 254 if encoding == "int8" else 100.0 * 2**-8
    assert largest <= one_round * 1.1
    assert float(np.abs(sent_without - rounds * step.astype(np.float64)).max()) > 1.5 * largest
    assert float(np.abs(sent_without - rounds * step.astype(np.float64))[1:BLOCK].max()) > 0.5


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_same_differences_always_give_the_same_bits_and_are_not_changed(encoding: Encoding) -> None:
    delta, residual = arrays(1000, 1), arrays(1000, 2, 1e-3)
    copies = delta.copy(), residual.copy()
    first, second = encode(delta, encoding, residual), encode(delta, encoding, residual)
    assert np.array_equal(first.values, second.values)
    assert np.array_equal(first.scales, second.scales)
    assert np.array_equal(delta, copies[0])
    assert np.array_equal(residual, copies[1])


def test_large_updates_are_encoded_as_small_ones_are() -> None:
    """A part is encoded at a time: a part's borders leave no trace."""
    delta = arrays(3 * 65_536 + 77, 3)
    encoded = encode(delta, "int8")
    for block in (0, 511, 512, 1023, 1024, 1535, blocks(len(delta)) - 1):
        alone = encode(delta[block * BLOCK : (block + 1) * BLOCK], "int8")
        assert np.array_equal(encoded.values[block * BLOCK : (block + 1) * BLOCK], alone.values)
        assert encoded.scales[block] == alone.scales[0]
    assert encoded.residual is not None
    assert np.array_equal(encoded.residual, delta - decoded(encoded, "int8"))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_encoded_and_its_coordinate_named(encoding: Encoding, value: float) -> None:
    delta = arrays(70_000, 4)
    delta[69_000] = value
    with pytest.raises(NotFiniteError) as caught:
        encode(delta, encoding)
    assert caught.value.coordinate == 69_000


@pytest.mark.parametrize("encoding", LOSSY)
def test_what_is_too_large_for_its_encoding_is_never_encoded(encoding: Encoding) -> None:
    delta = arrays(300, 5)
    delta[200] = np.finfo(np.float32).max
    with pytest.raises(NotFiniteError) as caught:
        encode(delta, encoding)
    assert caught.value.coordinate == 200


def test_every_bit_pattern_of_bfloat16_and_every_scale_decodes_without_a_warning() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    out = np.empty(2**16, np.float32)
    decode("bfloat16", bits.tobytes(), out)
    assert np.array_equal(out.view(np.uint32), bits.astype(np.uint32) << 16)
    scales = np.array([np.inf, np.nan, 3e38, -1.0], np.float32)
    values = np.full(4 * BLOCK, -128, np.int8)
    values[::2] = 0
    with np.errstate(all="raise"):
        decode("int8", values.tobytes(), out[: 4 * BLOCK], 0, scales.tobytes())
    assert np.isnan(out[0])
    assert out[3 * BLOCK + 1] == 128


# ---- Buffers


def with_buffers(encoding: Encoding) -> UpdateLayout:
    """The layout of updates to the mixed model, whose header says which of its tensors are buffers."""
    about = messages.encode(ModelHeader(federation="f", round=0, buffers=MIXED_BUFFERS))
    first = encode_header(layout(MIXED, MIXED_BUFFERS), about)
    return update_layout(parse_header(first, len(first) + layout(MIXED, MIXED_BUFFERS)[-1].end), encoding)


MIXED_BUFFERS = ("mean", "double", "brain")
"""Buffers of several dtypes, that have parameters before and after them in the model's file."""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_buffers_travel_in_float32_whatever_the_encoding_and_after_all_parameters(encoding: Encoding) -> None:
    where = with_buffers(encoding)
    assert [place.name for place in where.floats][-3:] == ["double", "mean", "brain"]
    assert where.n_float - where.n_parameters == 15 + 7 + 6
    dtypes = {tensor.name: tensor.dtype for tensor in where.tensors}
    assert {dtypes[name] for name in MIXED_BUFFERS} == {"F32"}
    parameters = {place.name for place in where.floats} - set(MIXED_BUFFERS)
    assert {dtypes[name] for name in parameters} == {traits_of(encoding).dtype}
    assert all(tensor.start % DTYPES[tensor.dtype].itemsize == 0 for tensor in where.tensors)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_buffers_arrive_as_they_are_beside_parameters_of_any_size(encoding: Encoding) -> None:
    where = with_buffers(encoding)
    delta = arrays(where.n_float, 7, 1e4)
    delta[where.n_parameters :] = np.float32(0.1) * np.arange(where.n_float - where.n_parameters) - 1
    encoded = encode_floats(
        where, delta, np.zeros(where.n_parameters, np.float32) if traits_of(encoding).is_lossy else None
    )
    alone = encode(delta[: where.n_parameters], encoding)
    assert np.array_equal(encoded.values, alone.values)
    assert np.array_equal(encoded.scales, alone.scales)
    assert len(encoded.scales) == (blocks(where.n_parameters) if encoding == "int8" else 0)
    assert (encoded.residual is None) == (encoding == "float32")
    assert encoded.residual is None or len(encoded.residual) == where.n_parameters
    file = dump(where, np.zeros(where.n_int, np.int64), encoded, "")
    check_layout(parse_header(file, len(file)), where)
    body = file[len(file) - where.data_bytes :]
    found = np.frombuffer(body[slice(*buffer_range(where, 0, where.n_float - where.n_parameters))], "<f4")
    assert found.tobytes() == delta[where.n_parameters :].tobytes()
    for place in where.floats[-3:]:
        (tensor,) = (tensor for tensor in where.tensors if tensor.name == place.name)
        start, stop = place.start - where.n_parameters, place.stop - where.n_parameters
        assert buffer_range(where, start, stop) == (tensor.start, tensor.end)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_buffer_that_is_not_finite_is_never_encoded_and_its_coordinate_named(value: float) -> None:
    where = with_buffers("int8")
    delta = arrays(where.n_float, 7)
    delta[-2] = value
    with pytest.raises(NotFiniteError) as caught:
        encode_floats(where, delta)
    assert where.tensor_of(caught.value.coordinate) == "brain"


def test_an_update_that_encodes_buffers_as_parameters_is_refused_by_name() -> None:
    without, where = update_layout(model_header(), "bfloat16"), with_buffers("bfloat16")
    other = encode_header(without.tensors, "")
    with pytest.raises(SchemaMismatchError, match=r"tensor '\w+' is BF16 .*, the model needs F32"):
        check_layout(parse_header(other, len(other) + without.data_bytes), where)
