"""Bars of several parts: one at each place, or one in each row of a table."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import htpy as h

from reporting.cells import printable
from reporting.pictures.charts.plane import Across, Axis, chart, color, from_top, legend_of
from reporting.pictures.charts.scale import LENGTH, scale_of

_SHARE = 0.8
"""What a bar takes of the room from one place to the next."""


class Part(NamedTuple):
    """A name, the number of its color, and a value for each place. What is negative, as by a device's wrong clock, has
    no length."""

    name: str
    color: int
    values: Sequence[float]


def stacks(
    title: str, across: Across, parts: Sequence[Part], *, shown: Callable[[float], str], whole: bool = False
) -> h.Element:
    """A chart with a bar at each place, of its parts one upon another; of counts, with `whole` numbers as ticks."""
    totals = [0.0] * len(across.places)
    tops: list[list[tuple[float, float]]] = []
    for part in parts:
        begun = totals
        totals = [total + max(0.0, value) for total, value in zip(totals, part.values, strict=True)]
        tops.append(list(zip(begun, totals, strict=True)))
    scale = scale_of([0.0, *totals], whole=whole)
    x = [across.axis.scale.place(place) for place in across.places]
    room = min((after - before for before, after in itertools.pairwise(x)), default=LENGTH // 8)
    width = max(1, round(_SHARE * room))
    paths = [
        h.path(
            class_=f"part {color(part.color)}",
            d="".join(
                f"M{place - width // 2} {(y := from_top(scale, top))}h{width}v{from_top(scale, bottom) - y}h-{width}"
                for place, (bottom, top) in zip(x, bars, strict=True)
                if top > bottom
            ),
        )
        for part, bars in zip(parts, tops, strict=True)
    ]
    hints = [
        ", ".join(f"{part.name} {shown(part.values[place])}" for part in parts if part.values[place]) or "nothing"
        for place in range(len(x))
    ]
    sums = ", ".join(f"{part.name} {shown(sum(part.values))}" for part in parts)
    up = Axis("", scale, tuple(shown(tick) for tick in scale.ticks))
    told = f"{title} by {across.axis.name}. In all: {sums}"
    return chart(title, told, across, up, paths, hints, legend_of(((part.name, part.color) for part in parts), "part"))


def bar(parts: Iterable[tuple[int, float]], whole: float, told: str) -> h.Element:
    """A bar that lies in a row of a table, as long as its parts are of the `whole`. Each part has the number of its
    color, and its value."""
    at, drawn = 0.0, []
    for number, value in parts:
        length = max(0.0, value) / whole if whole > 0 else 0.0
        begin, end = round(LENGTH * min(1.0, at)), round(LENGTH * min(1.0, at + length))
        if end > begin:
            drawn.append(h.rect(class_=f"part {color(number)}", x=begin, width=end - begin, height=10))
        at += length
    return _row(drawn, LENGTH, told)


def strip(marks: Sequence[int | None], heights: Sequence[int], told: str) -> h.Element:
    """A cell for each place, which has the color of its mark, and the height of it: it can be told without colors."""
    paths, at = [""] * len(heights), 0
    for mark, same in itertools.groupby(marks):
        width = len(list(same))
        if mark is not None:
            paths[mark] += f"M{at} {10 - heights[mark]}h{width}v{heights[mark]}h-{width}"
        at += width
    drawn = [h.path(class_=f"part {color(mark)}", d=path) for mark, path in enumerate(paths) if path]
    return _row(drawn, max(1, len(marks)), told)


def _row(drawn: h.Node, length: int, told: str) -> h.Element:
    return h.svg(
        ".bar", viewBox=f"0 0 {length} 10", preserveAspectRatio="none", role="img", aria_label=printable(told)
    )[h.title[printable(told)], drawn]
