"""What the functions of your policies.py are given: import from here.

    def choose_clients(clients: list[Client], cohort: int, round_number: int) -> list[str]
        Names of the things that take part. `cohort` is what selection.cohort asks for. `clients` are all that may be
        chosen; of more than 4,000 so many, drawn at random for each round.
    def is_complete(current: Round) -> bool
        Whether the round has all it needs. Asked after every update that counted, once its quorum is there: reports are
        what clients say of themselves, and no one of them ends a round alone.
    def average(updates: Iterator[Update], model: dict[str, Array]) -> dict[str, Array]
        The change to make to the global model, by tensor. Updates come one at a time, in the order of their things'
        names; each is read when it is asked for, so keep sums, not updates.
    def next_round_delay(last: Round) -> float
        Seconds to wait before the next round opens.

A federation needs those that its settings ask for.
"""

import msgspec

from protocol.messages import Report
from protocol.tensors import Array

__all__ = ["Array", "Client", "Report", "Round", "Update"]


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A client that may be chosen: what it can do, and how it has done. None is what it has not told yet.

    `turnaround_s` is the moving average of its times from assignment to update, None before its first one; `missed`
    counts the rounds in a row that it was chosen for and did not answer; `last_seen` is the time of its last hello,
    in seconds since 1970; `examples` is known once it has loaded its data.
    """

    thing: str
    turnaround_s: float | None = None
    missed: int = 0
    last_seen: float | None = None
    examples: int | None = None
    memory_bytes: int | None = None
    cpu_count: int | None = None
    architecture: str | None = None
    component_version: str | None = None


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """A round as a custom function sees it. `elapsed_s` is the time since it opened; `reports` are of the accepted
    updates."""

    federation: str
    number: int
    cohort: tuple[str, ...]
    accepted: int
    refused: int
    target: int
    quorum: int
    elapsed_s: float
    reports: dict[str, Report]


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """One client's accepted update: `delta` is local minus global, float32 (int64 of integer tensors), by tensor. `age`
    is how many rounds it is late by, 0 but with `averaging.carry_over` or `max_staleness`; `inclusion` the probability
    with which its client was selected, 1 if the policy draws all alike: weigh by its inverse.

    Buffers and integers are values: of a late update as well, added to the present model they give the client's own.
    A metric, or number of its describe, that was not finite is None in its report.
    """

    thing: str
    report: Report
    delta: dict[str, Array]
    age: int = 0
    inclusion: float = 1.0
