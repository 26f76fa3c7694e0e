"""Numbers as people read them."""

import pytest

from reporting.pictures import formats


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0 s"),
        (0.0123, "12.3 ms"),
        (1.5, "1.5 s"),
        (150, "2.5 min"),
        (9000, "2.5 h"),
        (864_000, "10 d"),
        (-2, "-2 s"),
    ],
)
def test_a_time_has_the_unit_that_suits_it(value: float, told: str) -> None:
    assert formats.seconds(value) == told


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0 B"), (999, "999 B"), (46_796_608, "46.8 MB"), (2_000_000_000_000_000, "2e+03 TB")]
)
def test_a_size_has_the_unit_that_suits_it(value: float, told: str) -> None:
    assert formats.size(value) == told


@pytest.mark.parametrize(
    ("value", "told"), [(0.0, "$0"), (0.000012345, "$0.000012"), (0.5, "$0.5"), (1234.5, "$1,234.50")]
)
def test_a_small_amount_keeps_two_digits(value: float, told: str) -> None:
    assert formats.dollars(value) == told


def test_rounds_that_follow_one_another_are_told_together() -> None:
    assert formats.spans([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert formats.spans([]) == ""
    assert formats.spans(range(1, 20, 2)) == "1, 3, 5, 7, 9, 11 and more"


def test_a_moment_is_told_in_utc_if_a_year_has_it() -> None:
    assert formats.moment(1_700_000_000) == "2023-11-14 22:13:20 UTC"
    assert formats.moment(1e300) == "1e+300"
    assert formats.moment(None) == ""


def test_a_metric_has_four_digits_that_count() -> None:
    assert (formats.number(0.123456), formats.number(12345), formats.number(None)) == ("0.1235", "12,345", "not finite")
