"""A run that goes on, in memory: rounds as a run folder would have them."""

import time
from collections import deque

import msgspec

from cloud.state.records import FederationRecord, RoundRecord
from cloud.state.rounds import Responses
from protocol import names
from reporting.measuring import client_rows, round_line
from reporting.pictures.recorded_run import RecordedRun
from reporting.records import ClientRow, RoundLine, SavedModel, Summary
from reporting.summarizing import Tally
from reporting.versions import versions

MOST_ROWS = 50_000
"""So many rows of clients are kept: those of the last rounds."""


class RunSoFar:
    """The rounds of one life of a federation, which are added in their order."""

    def __init__(self, life: str) -> None:
        self.life = life
        self._created_at = time.time()
        self._lines: list[RoundLine] = []
        self._rows: deque[tuple[ClientRow, ...]] = deque()
        self._tally = Tally()

    @property
    def last_round(self) -> int:
        """The number of the last one, 0 if there is none."""
        return self._tally.rounds

    def add(self, record: RoundRecord, responses: Responses) -> None:
        """A round has ended."""
        previous_end = self._tally.ended_at if record.round == self.last_round + 1 else None
        line = round_line(record, responses, previous_end)
        self._lines.append(line)
        self._tally = self._tally.after(line)
        self._rows.append(tuple(client_rows(record, responses)))
        while len(self._rows) > 1 and sum(map(len, self._rows)) > MOST_ROWS:
            self._rows.popleft()

    def recorded(self, federation: FederationRecord) -> RecordedRun:
        """The run as it is now."""
        model, settings = federation.model, federation.settings
        summary = Summary(
            source="aws",
            federation=federation.federation,
            life=federation.life,
            status=federation.status,
            seed=settings.training.seed,
            rounds_asked=settings.rounds,
            created_at=self._created_at,
            written_at=time.time(),
            model=SavedModel(round=names.parse_model_key(model.key).round, sha256=model.sha256, bytes=model.bytes),
            versions=versions(),
            **msgspec.structs.asdict(self._tally),
        )
        rows = tuple(row for of_round in self._rows for row in of_round)
        return RecordedRun(summary=summary, settings=settings, rounds=tuple(self._lines), clients=rows)
