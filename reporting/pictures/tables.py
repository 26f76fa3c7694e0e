"""Tables: what a picture shows, for who can't see it or wants the numbers."""

from collections.abc import Iterable, Sequence

import htpy as h

from reporting.cells import printable

Cell = str | h.Element


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], texts: frozenset[str] = frozenset()
) -> h.Element:
    """A table with the first column as headings of its rows. Columns of `texts` begin at the left, numbers end at the
    right. Whoever has no mouse can scroll it."""
    kinds = ["text" if column in texts else None for column in columns]
    return h.div(".scroll", role="region", tabindex="0", aria_label=printable(caption))[
        h.table[
            h.caption[printable(caption)],
            h.thead[
                h.tr[(h.th(scope="col", class_=kind)[printable(c)] for c, kind in zip(columns, kinds, strict=True))]
            ],
            h.tbody[(_row(row, kinds) for row in rows)],
        ]
    ]


def _row(row: Sequence[Cell], kinds: Sequence[str | None]) -> h.Element:
    heading, *cells = row
    return h.tr[
        h.th(scope="row")[_content(heading)],
        (h.td(class_=kind)[_content(one)] for one, kind in zip(cells, kinds[1:], strict=True)),
    ]


def behind(summary: str, content: h.Node) -> h.Element:
    """What is shown when it is asked for."""
    return h.details[h.summary[printable(summary)], content]


def facts(pairs: Iterable[tuple[str, Cell]]) -> h.Element:
    """What is known, by name."""
    return h.dl(".facts")[(h.div[h.dt[printable(name)], h.dd[_content(value)]] for name, value in pairs)]


def _content(cell: Cell) -> h.Node:
    return printable(cell) if isinstance(cell, str) else cell
