"""What charts have in common: two axes, a grid, hints for each place along the horizontal one, a legend.

The plot itself is stretched to the room that there is, while texts and the width of lines keep their size: a chart is
as sharp and as readable on a phone as on a wide screen, without a script.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import htpy as h

from reporting.cells import printable, short
from reporting.pictures.charts.scale import LENGTH, Scale

COLORS = 9


class Axis(NamedTuple):
    """A scale, and what its ticks are called."""

    name: str
    scale: Scale
    labels: tuple[str, ...]


class Across(NamedTuple):
    """The horizontal axis: the places that have values, in ascending order, and what a hint calls each."""

    axis: Axis
    places: tuple[float, ...]
    hints: tuple[str, ...]


def color(number: int) -> str:
    """The class of an element that has the color of a part of this number."""
    return f"c{number % COLORS}"


def chart(
    title: str, told: str, across: Across, up: Axis, drawn: Iterable[h.Node], hints: Sequence[str], legend: h.Node
) -> h.Element:
    """A chart of what is `drawn`, with a text for each place. `told` is what it shows, for who can't see it."""
    return h.figure(".chart")[
        h.figcaption[short(title)],
        h.div(".plane")[
            _labels(up, upright=True),
            h.svg(viewBox=f"0 0 {LENGTH} {LENGTH}", preserveAspectRatio="none", role="img", aria_label=printable(told))[
                _grid(up.scale), drawn, h.g(".hints")[_hints(across, hints)]
            ],
            _labels(across.axis, upright=False),
        ],
        h.p(".across")[across.axis.name],
        legend,
    ]


def from_top(scale: Scale, value: float) -> int:
    """Where a value lies on the vertical axis."""
    return LENGTH - scale.place(value)


def legend_of(names: Iterable[tuple[str, int]], kind: str) -> h.Element:
    """What has the color of which number."""
    return h.ul(".legend")[
        (
            h.li[
                h.svg(viewBox="0 0 24 12", aria_hidden="true")[
                    h.path(class_=f"{kind} {color(number)}", d="M0 6h24" if kind == "line" else "M4 0h12v12h-12z")
                ],
                printable(name),
            ]
            for name, number in names
        )
    ]


def _grid(scale: Scale) -> h.Node:
    return h.path(".grid", d="".join(f"M0 {from_top(scale, tick)}h{LENGTH}" for tick in scale.ticks))


def _labels(axis: Axis, *, upright: bool) -> h.Element:
    marks = []
    for tick, label in zip(axis.scale.ticks, axis.labels, strict=True):
        place = axis.scale.place(tick) / LENGTH
        if upright:
            marks.append(h.text(x="100%", y=f"{100 - 100 * place:.4g}%")[label])
        else:
            marks.append(h.text(x=f"{100 * place:.4g}%", y="1em")[label])
    return h.svg(".up" if upright else ".along", aria_hidden="true")[marks]


def _hints(across: Across, texts: Sequence[str]) -> Iterator[h.Element]:
    """A text for each place, which shows where the pointer rests: from half-way to the place before, to half-way to the
    next."""
    at = [across.axis.scale.place(place) for place in across.places]
    middles = [(before + after) // 2 for before, after in itertools.pairwise(at)]
    begins, ends = [0, *middles][: len(at)], [*middles, LENGTH][: len(at)]
    for begin, end, hint, text in zip(begins, ends, across.hints, texts, strict=True):
        yield h.rect(x=begin, width=max(1, end - begin))[h.title[printable(f"{hint}: {text}")]]
