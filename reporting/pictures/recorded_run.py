"""What is pictured: a run, as its records tell of it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec

from cloud.settings import Federation
from reporting.records import ClientRow, RoundLine, Summary
from reporting.run_folder import RunFolder

DRAWN_ROUNDS = 200
"""A curve has no more points, and a table of rounds no more rows: of a longer run, every so many-th round."""

T = TypeVar("T")


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What AWS asks for, in dollars by the prices of a Region: round -> what is paid for -> how much."""

    region: str
    by_round: dict[int, dict[str, float]]


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The records of a run so far. `costs` is None if nothing is known of them."""

    summary: Summary
    settings: Federation
    rounds: tuple[RoundLine, ...] = ()
    clients: tuple[ClientRow, ...] = ()
    costs: Costs | None = None

    @cached_property
    def drawn(self) -> tuple[RoundLine, ...]:
        """The rounds that pictures and tables have."""
        return tuple(thinned(self.rounds, DRAWN_ROUNDS))

    def elapsed_s(self, line: RoundLine) -> float:
        """From the start of the first round to the end of one."""
        first = self.rounds[0]
        return line.ended_at - (first.ended_at - first.round_s)


def read(path: Path) -> RecordedRun:
    """What a run folder has; of costs it knows nothing.

    Raises:
        NoRunFolderError, CorruptRunFolderError: as RunFolder.
    """
    folder = RunFolder(path)
    return RecordedRun(
        summary=folder.summary,
        settings=folder.settings(),
        rounds=tuple(folder.rounds()),
        clients=tuple(folder.clients()),
    )


def thinned(items: Sequence[T], most: int) -> Sequence[T]:
    """Not more than so many, at even distances, with the first and the last."""
    if len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
