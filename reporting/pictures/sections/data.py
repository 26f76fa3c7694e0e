"""The numbers themselves, in the page."""

import base64
import gzip
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

import htpy as h

from reporting.pictures.csv_files import clients_csv, rounds_csv
from reporting.pictures.recorded_run import RecordedRun

_MOST_PLAIN = 500_000
_MOST_ROWS = 50_000
"""A longer text is packed; a table of more rows is not in the page."""

_AS_IT_IS = ",:;/'()*!@$&=+?"
"""What a data URI may have unescaped, beside letters and digits."""

T = TypeVar("T")


def data(run: RecordedRun) -> h.Node:
    """Tables to be downloaded from the page, which needs no network for it."""
    return [
        h.p(".note")["They are in this page; numbers of devices with four digits. The run folder has all digits."],
        h.ul(".downloads")[
            h.li[_link("rounds.csv", run.rounds, rounds_csv), ": a row a round"],
            h.li[_link("clients.csv", run.clients, clients_csv), ": a row a device and round"],
        ],
    ]


def _link(name: str, rows: Sequence[T], text_of: Callable[[Sequence[T]], str]) -> h.Node:
    if len(rows) > _MOST_ROWS:
        return f"{name} is too large for a page: take that of the run folder"
    text = text_of(rows)
    if len(text) <= _MOST_PLAIN:
        return h.a(download=name, href=f"data:text/csv;charset=utf-8,{quote(text, safe=_AS_IT_IS)}")[name]
    packed = base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()
    return h.a(download=f"{name}.gz", href=f"data:application/gzip;base64,{packed}")[f"{name}.gz"]
