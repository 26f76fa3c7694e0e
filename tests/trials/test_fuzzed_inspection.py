"""The inspection of updates, fed with thousands that went wrong: trials/fuzz_inspection.py does more.

A failure names the encoding and the seed: `mutate(example_update(SCHEMA, encoding, buffers=BUFFERS), seed)` makes the
same bytes again.
"""

from collections import Counter
from typing import get_args

import numpy as np
import pytest

from cloud.averager.responses.inspection import inspect, max_bytes
from protocol.encodings import BLOCK
from protocol.messages import Encoding
from sandbox.example_updates import example_update
from trials.fuzz_inspection import ALLOWED_BYTES, examine, peak_bytes
from trials.fuzzing.mutations import BUFFERS, SCHEMA, mutate
from trials.fuzzing.update_judge import accepted_wrongly

ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


@every_encoding
def test_what_went_wrong_is_refused_and_what_is_accepted_is_right(encoding: Encoding) -> None:
    good = example_update(SCHEMA, encoding, buffers=BUFFERS)
    reasons: Counter[str] = Counter()
    for seed in range(2000):
        verdict = examine(good, seed)
        assert verdict.defect is None, f"{encoding}, seed {seed}"
        reasons[verdict.refused or "accepted"] += 1
    expected = {"accepted", "malformed", "wrong schema", "wrong encoding", "too large", "non-finite"}
    assert reasons.keys() >= expected - ({"non-finite"} if encoding == "int8" else set())
    assert ("wrong scales" in reasons) == (encoding == "int8")


@every_encoding
def test_no_update_takes_more_memory_than_the_largest_good_one(encoding: Encoding) -> None:
    good = example_update(SCHEMA, encoding, buffers=BUFFERS)
    for seed in range(300):
        data = mutate(good, seed)
        if len(data) <= max_bytes(good.layout):
            assert any(peak_bytes(good, data) <= ALLOWED_BYTES for _ in range(3)), f"{encoding}, seed {seed}"


@every_encoding
def test_memory_does_not_grow_with_the_update(encoding: Encoding) -> None:
    peaks = []
    for count in (1 << 17, 1 << 22):
        good = example_update({"w": ("F32", (count,))}, encoding)
        # The least of three: other threads of the tests allocate, too.
        peaks.append(min(peak_bytes(good, good.data) for _ in range(3)))
    assert peaks[1] <= peaks[0] + 10_000 < ALLOWED_BYTES


def test_a_seed_gives_the_same_bytes_again() -> None:
    good = example_update(SCHEMA, "int8", buffers=BUFFERS)
    assert [mutate(good, seed) for seed in range(50)] == [mutate(good, seed) for seed in range(50)]
    assert len({mutate(good, seed) for seed in range(50)}) > 40


@every_encoding
def test_the_judge_knows_right_from_wrong(encoding: Encoding) -> None:
    """Otherwise the tests above would pass whatever inspection accepted."""
    good = example_update(SCHEMA, encoding, buffers=BUFFERS)
    inspected = inspect(good.data, good.name, good.record, good.layout)
    assert accepted_wrongly(good, good.data, inspected) is None
    start = inspected.data_start
    floats = start + good.layout.parameters_start
    for wrong, text in (
        (good.data + b"\0", "tensors"),
        (good.data.replace(b"[17,9]", b"[9,17]", 1), "tensors"),
        (good.data.replace(b'examples\\":100', b'examples\\":101'), "what was read"),
        (good.data[:floats] + bytes([good.data[floats] ^ 0x40]) + good.data[floats + 1 :], "norm"),
    ):
        assert text in (accepted_wrongly(good, wrong, inspected) or "")
    not_finite = {"float32": (floats, np.float32), "int8": (start + good.layout.scales_start, np.float32)}
    where, dtype = not_finite.get(encoding, (floats, np.uint16))
    value = np.full(1, np.inf, np.float32).tobytes()[-np.dtype(dtype).itemsize :]
    wrong = good.data[:where] + value + good.data[where + len(value) :]
    assert "finite" in (accepted_wrongly(good, wrong, inspected) or "")


def test_the_mutated_model_has_a_bit_of_everything() -> None:
    layout = example_update(SCHEMA, "int8", buffers=BUFFERS).layout
    assert layout.n_parameters > 2 * BLOCK
    assert layout.n_parameters % BLOCK
    assert layout.n_float > layout.n_parameters
    assert layout.n_int
