"""cloud/averaging/grid.py: a model cut into parts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averaging.blocks import CACHED, Run, Slices, blocks_of
from cloud.averaging.grid import Grid, grid_of
from cloud.averaging.part_sizes import MIN_PART_BYTES
from protocol.encodings import scale_range, update_layout
from protocol.messages import ModelHeader, decode, encode
from protocol.tensors import DTYPES, FLOATING, Header, layout, parse_header

Shapes = dict[str, tuple[str, tuple[int, ...]]]

SHAPES = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 9), max_size=3).map(tuple)),
    max_size=6,
)


def buffers_of(shapes: Shapes) -> tuple[str, ...]:
    """Some of the tensors as buffers, if they are floating-point numbers."""
    return tuple(sorted(name for name, (dtype, _) in shapes.items() if dtype in FLOATING and name[0] == "b"))


def grid(
    shapes: Shapes, vectors: int = 0, min_bytes: int = 64, buffers: tuple[str, ...] = (), *, has_bfloat16: bool = False
) -> Grid:
    about = ModelHeader(federation="f", round=3, buffers=buffers)
    header = Header(layout(shapes, buffers), 0, encode(about).decode())
    return grid_of(header, about, vectors, min_bytes, has_bfloat16=has_bfloat16)


@given(SHAPES, st.integers(0, 2), st.integers(1, 200))
def test_the_parts_are_the_whole_model_each_element_once(shapes: Shapes, vectors: int, min_bytes: int) -> None:
    cut = grid(shapes, vectors, min_bytes, buffers_of(shapes))
    assert [part.number for part in cut.parts] == list(range(len(cut.parts)))
    ends: list[Any] = [(part.end, part.floats[1]) for part in cut.parts]
    starts: list[Any] = [(part.start, part.floats[0]) for part in cut.parts]
    assert starts == [(0, 0), *ends[:-1]]
    elements = [
        (piece.tensor.name, index)
        for part in cut.parts
        for piece in part.pieces
        for index in range(piece.start, piece.end)
    ]
    assert elements == [(tensor.name, index) for tensor in cut.header.tensors for index in range(tensor.size)]
    assert ends[-1][0] == cut.header.data_bytes
    counted = {"parameter": 0, "buffer": 0, "integer": 0}
    for part in cut.parts:
        in_vector = 0
        for piece in part.pieces:
            assert (piece.at, piece.in_vector) == (counted[piece.kind], in_vector)
            counted[piece.kind] += piece.size
            in_vector += piece.size if piece.kind != "integer" else 0
        assert in_vector == part.floats[1] - part.floats[0]


@given(SHAPES, st.integers(0, 2), st.integers(1, 200), st.booleans())
def test_every_part_but_the_last_is_large_enough_for_s3_in_every_file(
    shapes: Shapes, vectors: int, min_bytes: int, has_bfloat16: bool
) -> None:
    cut = grid(shapes, vectors, min_bytes, buffers_of(shapes), has_bfloat16=has_bfloat16)
    for part in cut.parts[:-1]:
        assert part.end - part.start >= min_bytes
        assert part.bfloat16[1] - part.bfloat16[0] >= min_bytes * has_bfloat16
        start, end = cut.optimizer_range(part)
        assert end - start >= min_bytes * bool(vectors)


@given(SHAPES, st.integers(1, 200), st.integers(1, 16))
def test_shards_are_all_parts_in_their_order_and_about_as_many_each(
    shapes: Shapes, min_bytes: int, shards: int
) -> None:
    cut = grid(shapes, 0, min_bytes)
    split = [cut.shard(index, shards) for index in range(shards)]
    assert [part for shard in split for part in shard] == list(cut.parts)
    assert max(map(len, split)) - min(map(len, split)) <= 1


@given(SHAPES, st.integers(1, 200), st.integers(1, 50), st.sampled_from(["float32", "bfloat16", "int8"]))
def test_blocks_read_every_byte_of_an_update_once(shapes: Shapes, min_bytes: int, elements: int, encoding: Any) -> None:
    cut = grid(shapes, 0, min_bytes, buffers_of(shapes))
    update = update_layout(cut.header, encoding)
    blocks = list(blocks_of(cut.parts, elements))
    assert all(block.n_parameters + block.n_values <= elements for block in blocks)
    ranges = [range_ for block in blocks for range_ in Slices(update, block).ranges]
    scales = range(*scale_range(update, 0, update.n_parameters))  # two blocks may need the same scale
    read = [byte for start, end in ranges for byte in range(start, end) if byte not in scales]
    assert sorted(read) == [byte for byte in range(update.data_bytes) if byte not in scales]
    assert {byte for start, end in ranges for byte in range(start, end)} == set(range(update.data_bytes))


def test_a_small_update_is_read_in_one_piece() -> None:
    cut = grid({"w": ("F32", (5, 5)), "n": ("I64", (2,)), "half": ("BF16", (300,))}, 0, MIN_PART_BYTES)
    for encoding in ("float32", "bfloat16", "int8"):
        update = update_layout(cut.header, encoding)
        (block,) = blocks_of(cut.parts, 1000)
        assert Slices(update, block).ranges == [(0, update.data_bytes)]


def test_runs_are_of_one_kind_and_dtype_and_fit_the_cache() -> None:
    shapes: Shapes = {
        "n": ("I64", (3,)),
        "a": ("F32", (CACHED,)),
        "b": ("F32", (10,)),
        "mean": ("F32", (7,)),
        "m": ("I32", (1,)),
        "half": ("F16", (2,)),
    }
    (part,) = grid(shapes, 0, 1 << 30, ("mean",)).parts
    (block,) = blocks_of([part], 1 << 30)
    floats = 3 * 8  # where they begin, in bytes
    expected = [
        Run("integer", "I64", 7, 10, 0, 0),
        Run("parameter", "F32", 0, CACHED, floats, 0),
        Run("parameter", "F32", CACHED, CACHED + 10, floats + 4 * CACHED, CACHED),
        Run("buffer", "F32", 0, 7, floats + 4 * (CACHED + 10), CACHED + 10),
        Run("integer", "I32", 10, 11, floats + 4 * (CACHED + 17), CACHED + 17),
        Run("parameter", "F16", CACHED + 10, CACHED + 12, floats + 4 * (CACHED + 18), CACHED + 17),
    ]
    assert list(block.runs()) == expected


def test_a_run_knows_whose_elements_are_in_it() -> None:
    shapes: Shapes = {"n": ("I64", (3,)), "a": ("F32", (4,)), "b": ("F32", (2, 3)), "mean": ("F32", (2,))}
    (part,) = grid(shapes, 0, 1 << 30, ("mean",)).parts
    first, second, third = blocks_of([part], 5)  # n and half of a, then the rest of a and half of b
    assert [list(second.tensors_in(run)) for run in second.runs()] == [[("a", 0, 2), ("b", 2, 5)]]
    assert [list(first.tensors_in(run)) for run in first.runs()] == [[("n", 0, 3)], [("a", 0, 2)]]
    assert [list(third.tensors_in(run)) for run in third.runs()] == [[("b", 0, 3)], [("mean", 0, 2)]]


def test_a_large_tensor_of_integers_delays_the_cut_until_the_state_has_its_size() -> None:
    shapes: Shapes = {"n": ("I64", (1000,)), "w": ("F32", (100,))}
    assert [(part.floats, part.end) for part in grid(shapes, 0, 400).parts][:2] == [((0, 0), 400), ((0, 0), 800)]
    assert [(part.floats, part.end) for part in grid(shapes, 1, 200).parts] == [((0, 50), 8200), ((50, 100), 8400)]


@pytest.mark.parametrize("vectors", [1, 2])
def test_the_files_begin_with_headers_of_their_own(vectors: int) -> None:
    cut = grid({"w": ("F32", (40,)), "n": ("I64", (2,))}, vectors)
    for round_number in (4, 12_345):
        for start, size in (
            (cut.model_start(round_number), cut.header.data_bytes),
            (cut.optimizer_start(round_number), cut.optimizer_range(cut.parts[-1])[1]),
        ):
            header = parse_header(start, len(start) + size)
            assert decode(header.message, ModelHeader) == ModelHeader(federation="f", round=round_number)
    state = parse_header(cut.optimizer_start(4), len(cut.optimizer_start(4)) + cut.optimizer_range(cut.parts[-1])[1])
    assert [(tensor.start, tensor.end) for tensor in state.tensors][::vectors] == [
        (cut.optimizer_range(part)[0], cut.optimizer_range(part)[0] + 4 * (part.floats[1] - part.floats[0]))
        for part in cut.parts
        if part.floats[1] > part.floats[0]
    ]
