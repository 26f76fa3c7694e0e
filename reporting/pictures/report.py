"""A run as one page that needs nothing else: no network, no script, no other file."""

import base64
import hashlib
from pathlib import Path

import htpy as h
from markupsafe import Markup

from reporting.cells import printable
from reporting.pictures import formats
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.sections import SECTIONS

STYLE = Path(__file__).with_name("style.css")


def report(run: RecordedRun) -> str:
    """The page. The same records give the same text.

    Whatever a text of a device might smuggle in, the browser loads nothing, runs nothing, and knows no other style than
    the one whose hash the policy has.
    """
    style = STYLE.read_text()
    policy = f"default-src 'none'; style-src 'sha256-{_hash(style)}'; base-uri 'none'; form-action 'none'"
    name = printable(run.summary.federation)
    return str(
        h.html(lang="en")[
            h.head[
                h.meta(charset="utf-8"),
                h.meta(http_equiv="Content-Security-Policy", content=policy),
                h.meta(name="viewport", content="width=device-width, initial-scale=1"),
                h.meta(name="referrer", content="no-referrer"),
                h.meta(name="color-scheme", content="light dark"),
                h.title[f"{name}: a run of fedgrass"],
                h.style[Markup(style)],  # noqa: S704 - a file of this package
            ],
            h.body[
                h.a(".skip", href="#overview")["To the overview"],
                h.header[
                    h.h1[name],
                    h.p[
                        f"{formats.counted(run.summary.totals.rounds, 'round')} of fedgrass, ",
                        f"as they were on {formats.moment(run.summary.written_at)}",
                    ],
                    h.nav(aria_label="Sections")[
                        h.ul[(h.li[h.a(href=f"#{section.name}")[section.title]] for section in SECTIONS)]
                    ],
                ],
                h.main[(section.of(run) for section in SECTIONS)],
            ],
        ]
    )


def _hash(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
