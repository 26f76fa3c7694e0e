"""Charts have their values where their axes say, whatever the values are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.pictures.across import by_round, by_time
from reporting.pictures.charts.curves import Curve, curves
from reporting.pictures.charts.scale import LENGTH, scale_of, tight_scale_of
from reporting.pictures.charts.stacks import Part, bar, stacks, strip
from reporting.pictures.recorded_run import thinned
from tests.reporting.pictures.examples import line, of_records, run_of
from tests.reporting.pictures.pages import Element, parsed

LINES = [line(number, 100.0 + number, {"train": 1.0}) for number in (1, 2, 3, 4)]
ROUNDS = by_round(LINES)

numbers = st.floats(allow_nan=False, allow_infinity=False)


def points(path: Element) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"[ML](-?\d+) (-?\d+)", path.attributes["d"] or "")]


def test_a_scale_has_round_numbers_around_all_values() -> None:
    assert scale_of([0.12, 0.93]).ticks == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert scale_of([3, 41]).ticks == (0, 10, 20, 30, 40, 50)
    assert scale_of([0, 3], whole=True).ticks == (0, 1, 2, 3)
    assert scale_of([0, 10], whole=True).ticks == (0, 3, 6, 9, 12)


def test_a_tight_scale_has_round_numbers_among_its_values() -> None:
    scale = tight_scale_of([0.5, 100.5], whole=True)
    assert (scale.low, scale.high, scale.ticks) == (0.5, 100.5, (20, 40, 60, 80, 100))
    assert tight_scale_of([0.5, 2.5], whole=True).ticks == (1, 2)


@given(st.lists(numbers, max_size=5), st.booleans(), st.sampled_from([scale_of, tight_scale_of]))
def test_any_values_have_places_in_their_order_and_few_ticks(values: list[float], whole: bool, make: object) -> None:
    scale = make(values, whole=whole)  # type: ignore[operator]
    places = [scale.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= LENGTH for place in places)
    assert len(scale.ticks) <= 12
    assert not whole or all(tick == round(tick) for tick in scale.ticks)


def test_a_curve_goes_through_its_values_and_has_gaps_where_there_are_none() -> None:
    figure = parsed(str(curves("accuracy", ROUNDS, [Curve("a", 0, [0.0, 0.5, None, 1.0])])))
    (path,) = (one for one in figure.of_class("line") if one.attributes["d"] != "M0 6h24")
    assert path.attributes["d"] == "M125 1000L375 500M875 0h0"
    assert [hint.text for hint in figure.first("div").all("title")] == [
        "round 1: a 0",
        "round 2: a 0.5",
        "round 3: not known",
        "round 4: a 1",
    ]
    told = figure.first("div").of_class("plane") or [figure]
    labels = [one.attributes.get("aria-label") for one in told[0].all("svg") if one.attributes.get("role") == "img"]
    assert labels == ["accuracy by round. a: 0 in round 1, 1 in round 4"]


def test_a_band_lies_between_the_first_and_the_last_curve() -> None:
    drawn = [Curve("low", 0, [0, 0, None, 0]), Curve("high", 2, [1, 0.5, None, 1])]
    figure = parsed(str(curves("m", ROUNDS, drawn, has_band=True)))
    (band,) = figure.of_class("band")
    assert points(band) == [(125, 1000), (375, 1000), (875, 1000), (875, 0), (375, 500), (125, 0)]


def test_bars_are_as_high_as_their_parts_together() -> None:
    parts = [Part("a", 0, [1, 2, 0, 4]), Part("b", 3, [1, 0, -5, 4])]
    figure = parsed(str(stacks("time", ROUNDS, parts, shown=str)))
    first, second = (one.attributes["d"] or "" for one in figure.of_class("part")[:2])
    assert re.findall(r"M\d+ (\d+)h200v(\d+)", first) == [("875", "125"), ("750", "250"), ("500", "500")]
    assert re.findall(r"M\d+ (\d+)h200v(\d+)", second) == [("750", "125"), ("0", "500")]
    assert [one.attributes["class"] for one in figure.of_class("part")] == ["part c0", "part c3"] * 2


def test_the_bar_of_a_row_is_cut_into_its_parts() -> None:
    (drawn,) = parsed(str(bar([(2, 1.0), (3, 0.0), (4, 2.0), (5, -1.0)], 4.0, "told"))).all("svg")
    assert [(one.attributes["x"], one.attributes["width"]) for one in drawn.all("rect")] == [
        ("0", "250"),
        ("250", "500"),
    ]
    assert (drawn.attributes["aria-label"], drawn.first("title").text) == ("told", "told")


def test_a_strip_has_a_cell_for_each_place_as_high_as_its_mark() -> None:
    (drawn,) = parsed(str(strip([0, 0, None, 1, 0], (10, 4), "told"))).all("svg")
    assert [(one.attributes["class"], one.attributes["d"]) for one in drawn.all("path")] == [
        ("part c0", "M0 0h2v10h-2M4 0h1v10h-1"),
        ("part c1", "M3 6h1v4h-1"),
    ]
    assert drawn.attributes["viewBox".lower()] == "0 0 5 10"


def test_the_axis_of_time_has_the_unit_that_suits_the_run() -> None:
    lasting = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
    for unit, each_s in lasting.items():
        lines = [line(number, 1e9 + 25 * number * each_s, {"train": 25 * each_s}) for number in (1, 2)]
        across = by_time(of_records(lines, []))
        assert across is not None
        assert across.axis.name == unit
        assert across.places == pytest.approx((25, 50))
    simulated = by_time(of_records(lines, [], clock="simulated"))
    assert simulated is not None
    assert simulated.axis.name == "simulated days"


def test_there_is_no_axis_of_time_if_the_rounds_take_none() -> None:
    assert by_time(of_records([line(1, 0.0, {}), line(2, 0.0, {})], [])) is None
    assert by_time(of_records([], [])) is None


def test_a_long_run_is_thinned_to_its_first_its_last_and_rounds_between() -> None:
    assert thinned(range(5), 5) == range(5)
    assert thinned(range(1000), 5) == [0, 250, 500, 749, 999]
    run = run_of(devices=1, rounds=1000)
    assert (len(run.drawn), run.drawn[0].round, run.drawn[-1].round) == (200, 1, 1000)
