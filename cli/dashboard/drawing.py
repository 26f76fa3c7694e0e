"""Looks at a federation, and draws what there is to see."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import htpy as h
import msgspec

from cli.run_costs import costs_by
from cloud.pricing.round_price import RoundPrice
from cloud.state.records import FederationRecord, RoundRecord
from cloud.state.rounds import Responses
from reporting.pictures.csv_files import clients_csv, rounds_csv
from reporting.pictures.device_figures import DeviceFigures, device_figures
from reporting.pictures.live.fleet import Row, fleet_rows
from reporting.pictures.live.present import headline, present
from reporting.pictures.live.run_so_far import RunSoFar
from reporting.pictures.recorded_run import DRAWN_ROUNDS, RecordedRun
from reporting.pictures.sections import SECTIONS
from reporting.watching import Looking, Tell

PRESENT = "present"
RECORDED = tuple(section for section in SECTIONS if section.name != "data")
"""Those that change when a round ends; what is to be downloaded is served beside the page."""


class Drawn(NamedTuple):
    """What is to be shown: as Board.show takes it."""

    headline: str
    sections: dict[str, str]
    rows: dict[str, Row]


class Drawing:
    """Draws a federation as it is. `make` makes what looks at it, by what is told of each round that has ended,
    and how many are wanted."""

    def __init__(self, make: Callable[[Tell, int], Looking], price: RoundPrice | None, region: str) -> None:
        self._lock = threading.Lock()  # of the run, which is read for downloads while it is looked at
        self._price = price
        self._region = region
        self._run = RunSoFar("")
        self._drawn: tuple[FederationRecord, int] | None = None
        self._figures: dict[str, DeviceFigures] = {}
        self._watcher = make(self._add, DRAWN_ROUNDS)

    def draw(self) -> Drawn:
        """What is new to be shown. Sections that only change when a round ends are drawn when one has.

        Raises:
            UnknownFederationError, BotoCoreError, ClientError: as Watcher.look.
        """
        view = self._watcher.look()
        record = self._watcher.record
        if record.life != self._run.life:
            self._run = RunSoFar(record.life)
        sections = {PRESENT: _html(present(view, time.time()))}
        state = (record, self._run.last_round)
        if state != self._drawn:
            self._drawn = state
            run = self.recorded()
            self._figures = device_figures(run.clients)
            sections |= {section.name: _html(section.content(run)) for section in RECORDED}
        return Drawn(headline(view), sections, fleet_rows(view, self._figures))

    def recorded(self) -> RecordedRun:
        """The rounds so far."""
        with self._lock:
            run = self._run.recorded(self._watcher.record)
        if self._price is None:
            return run
        return msgspec.structs.replace(run, costs=costs_by(self._price, run, self._region))

    def rounds_csv(self) -> str:
        """A row a round."""
        return rounds_csv(self.recorded().rounds)

    def clients_csv(self) -> str:
        """A row a client and round."""
        return clients_csv(self.recorded().clients)

    def _add(self, record: RoundRecord, responses: Responses) -> None:
        if record.life != self._run.life:
            self._run = RunSoFar(record.life)
        with self._lock:
            self._run.add(record, responses)


def _html(node: h.Node) -> str:
    """As text that is no more than that, and can be sent."""
    return "".join(h.fragment[node].iter_chunks())
