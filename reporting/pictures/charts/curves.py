"""Curves: one or more values at each place."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import htpy as h

from reporting.pictures import formats
from reporting.pictures.charts.plane import Across, Axis, chart, color, from_top, legend_of
from reporting.pictures.charts.scale import Scale, scale_of


class Curve(NamedTuple):
    """A name, the number of its color, and a value for each place; None where there is none."""

    name: str
    color: int
    values: Sequence[float | None]


def curves(
    title: str,
    across: Across,
    drawn: Sequence[Curve],
    *,
    shown: Callable[[float], str] = formats.number,
    has_band: bool = False,
) -> h.Element:
    """A chart of curves; with the area between the first and the last one, if it is to have a band."""
    scale = scale_of(value for curve in drawn for value in curve.values if value is not None)
    up = Axis("", scale, tuple(shown(tick) for tick in scale.ticks))
    x = [across.axis.scale.place(place) for place in across.places]
    paths = [h.path(class_=f"line {color(curve.color)}", d=_path(x, scale, curve.values)) for curve in drawn]
    band = h.path(".band", d=_band(x, scale, drawn[0].values, drawn[-1].values)) if has_band else None
    hints = [
        ", ".join(f"{c.name} {shown(v)}" for c in drawn if (v := c.values[place]) is not None) or "not known"
        for place in range(len(x))
    ]
    told = "; ".join(_told(curve, across, shown) for curve in drawn)
    return chart(
        title,
        f"{title} by {across.axis.name}. {told}",
        across,
        up,
        [band, *paths],
        hints,
        legend_of(((curve.name, curve.color) for curve in drawn), "line"),
    )


def _told(curve: Curve, across: Across, shown: Callable[[float], str]) -> str:
    known = [(hint, value) for hint, value in zip(across.hints, curve.values, strict=True) if value is not None]
    if not known:
        return f"{curve.name}: not known"
    (begin, first), (end, last) = known[0], known[-1]
    return f"{curve.name}: {shown(first)} in {begin}, {shown(last)} in {end}"


def _stretches(x: Sequence[int], scale: Scale, values: Sequence[float | None]) -> Iterator[list[tuple[int, int]]]:
    """The points that follow one another without a gap."""
    pairs = zip(x, values, strict=True)
    for is_gap, stretch in itertools.groupby(pairs, key=lambda pair: pair[1] is None):
        if not is_gap:
            yield [(place, from_top(scale, value)) for place, value in stretch if value is not None]


def _path(x: Sequence[int], scale: Scale, values: Sequence[float | None]) -> str:
    """Lines; a point alone is one without a length, which has round ends."""
    return "".join(
        "M" + "L".join(f"{place} {height}" for place, height in points) + ("h0" if len(points) == 1 else "")
        for points in _stretches(x, scale, values)
    )


def _band(x: Sequence[int], scale: Scale, one: Sequence[float | None], other: Sequence[float | None]) -> str:
    both = zip(x, one, other, strict=True)
    known = [(place, low, high) for place, low, high in both if low is not None and high is not None]
    there = [f"{place} {from_top(scale, low)}" for place, low, _ in known]
    back = [f"{place} {from_top(scale, high)}" for place, _, high in reversed(known)]
    return f"M{'L'.join(there + back)}z" if known else ""
