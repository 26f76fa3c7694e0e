"""cloud/averaging/outliers.py: which norms are far from the others'."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averaging.accepted_updates import AcceptedUpdate, S3Object
from cloud.averaging.outliers import far_norms
from cloud.state.round_warnings import merged
from tests.cloud.examples import report


def warned(*norms: float, thing: str = "t") -> list[str]:
    return far_norms(
        [
            AcceptedUpdate(thing=f"{thing}{n}", report=report(), norm=norm, stored=S3Object(key="", data_start=0))
            for n, norm in enumerate(norms)
        ]
    )


@pytest.mark.parametrize("norm", [10.0, 3e18])
def test_a_norm_far_from_the_others_is_told_with_its_client(norm: float) -> None:
    assert warned(1.0, 1.1, norm, 0.9, 1.2) == [f"norms of 1 updates are far from the median, 1.1: t2 {norm:.3g}"]


def test_norms_of_zero_among_others_are_far_and_others_among_zeros_are() -> None:
    assert warned(1.0, 1.1, 0.0, 0.9, 1.0)
    assert warned(0.0, 0.0, 0.0, 1.0)
    assert warned(0.0, 0.0, 0.0, 0.0) == []


@given(st.lists(st.floats(0.8, 1.2), min_size=0, max_size=40))
def test_norms_that_differ_a_little_are_not_far(norms: list[float]) -> None:
    assert warned(*norms) == [] or max(norms) - min(norms) > 0.2


def test_of_fewer_than_four_none_is_far() -> None:
    assert warned(1.0, 1.0, 1e9) == []


def test_of_many_the_farthest_are_named_and_the_text_stays_short() -> None:
    (told,) = merged(warned(*[1.0] * 30, *[10.0] * 5, 50.0, 70.0, thing="x" * 120))
    assert told.startswith("norms of 7 updates are far from the median, 1: xxx")
    assert len(told) <= 200
