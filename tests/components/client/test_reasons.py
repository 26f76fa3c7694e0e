import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.client import reasons


@pytest.mark.parametrize("reason", ["x" * 5000, "é" * 5000, "a\n b\t" * 900, "short"])
def test_a_reason_is_one_line_of_bounded_length(reason: str) -> None:
    short = reasons.shorten(reason)
    assert len(short.encode()) <= reasons.MAX_REASON_BYTES
    assert "\n" not in short
    assert short[:3] == " ".join(reason.split())[:3]
    assert short[-1] == reason.split()[-1][-1]


@given(st.text(st.characters(categories=None), max_size=600))
def test_whatever_the_reason_is_it_can_be_sent_and_its_json_is_bounded(reason: str) -> None:
    assert len(msgspec.json.encode(reasons.shorten(reason))) <= 2 * reasons.MAX_REASON_BYTES + 2
