"""The page, as a browser gets it first; what is new comes by events."""

from pathlib import Path

import htpy as h
from markupsafe import Markup

from cli.dashboard.board import Board, Picture
from cli.dashboard.drawing import PRESENT, RECORDED
from reporting.cells import printable
from reporting.pictures.live.fleet import COLUMNS, TEXTS, Row
from reporting.pictures.report import STYLE

SCRIPT = Path(__file__).with_name("page.js")
_STYLE = Path(__file__).with_name("page.css")

FLEET = "fleet"
DOWNLOADS = ("rounds.csv", "clients.csv")


def style() -> str:
    """That of reports, and of what only this page has."""
    return STYLE.read_text() + _STYLE.read_text()


def page(federation: str, board: Board) -> str:
    """All that the board has; the script asks for what comes after this version of it."""
    shown, name = board.since(0), printable(federation)
    sections = [
        (PRESENT, "Present round"),
        (FLEET, "Fleet"),
        *((one.name, one.title) for one in RECORDED),
        ("data", "Data"),
    ]
    return str(
        h.html(lang="en")[
            h.head[
                h.meta(charset="utf-8"),
                h.meta(name="viewport", content="width=device-width, initial-scale=1"),
                h.meta(name="color-scheme", content="light dark"),
                h.title[f"{name}: fedgrass"],
                h.link(rel="stylesheet", href="/page.css"),
                h.link(rel="icon", href="data:,"),
                h.script(src="/page.js", defer=True),
            ],
            h.body(data_version=str(board.version))[
                h.a(".skip", href=f"#{PRESENT}")["To the present round"],
                h.header[
                    h.h1[name],
                    h.p("#headline", role="status")[shown.headline or ""],
                    h.p("#trouble.problem", role="alert", hidden=True),
                    h.nav(aria_label="Sections")[
                        h.ul[(h.li[h.a(href=f"#{section}")[title]] for section, title in sections)]
                    ],
                ],
                h.main[
                    _section(PRESENT, "Present round", _drawn(shown, PRESENT)),
                    _section(FLEET, "Fleet", _fleet(shown.rows)),
                    (_section(one.name, one.title, _drawn(shown, one.name)) for one in RECORDED),
                    _section("data", "Data", _downloads()),
                ],
            ],
        ]
    )


def _section(name: str, title: str, content: h.Node) -> h.Element:
    heading = f"{name}-title"
    return h.section(id=name, aria_labelledby=heading)[
        h.h2(id=heading)[title], h.div(class_="content", id=f"{name}-content")[content]
    ]


def _drawn(shown: Picture, name: str) -> h.Node:
    return Markup(shown.sections[name])  # noqa: S704 - htpy has drawn it


def _fleet(rows: dict[str, Row]) -> h.Node:
    return [
        h.p(".search")[
            h.label(for_="search")["Only devices with"],
            h.input("#search", type="search", autocomplete="off", spellcheck="false"),
            h.span("#found", role="status"),
        ],
        h.div(".scroll", role="region", tabindex="0", aria_label="Every device")[
            h.table("#fleet-table")[
                h.caption["Every device; a heading sorts by its column"],
                h.thead[h.tr[map(_heading, COLUMNS)]],
                h.tbody[(_row(rows[name]) for name in sorted(rows))],
            ]
        ],
    ]


def _heading(column: str) -> h.Element:
    order = "ascending" if column == COLUMNS[0] else None
    return h.th(scope="col", class_=_kind(column), aria_sort=order)[h.button(type="button")[column]]


def _row(cells: Row) -> h.Element:
    name, *others = cells
    return h.tr[
        h.th(scope="row")[name],
        (h.td(class_=_kind(column))[cell] for column, cell in zip(COLUMNS[1:], others, strict=True)),
    ]


def _kind(column: str) -> str | None:
    return "text" if column in TEXTS else None


def _downloads() -> h.Node:
    return [
        h.p(".note")["Of the last rounds: at most 200 of them, and at most 50,000 rows of devices."],
        h.ul(".downloads")[(h.li[h.a(href=f"/{name}", download=name)[name]] for name in DOWNLOADS)],
    ]
