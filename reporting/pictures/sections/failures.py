"""What did not come to an update that counts, and what is wrong with models, with reasons."""

from collections.abc import Iterable, Iterator

import htpy as h

from reporting.cells import printable, short
from reporting.pictures import formats
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.tables import table
from reporting.records import ClientState

_LISTED = 100
"""So many different reasons are listed: those that were given most often."""

_MEANT: dict[ClientState, str] = {
    "failed": "the device failed",
    "declined": "the device declined",
    "refused": "its update was refused",
    "vanished": "it was not heard of until the deadline",
}


def failures(run: RecordedRun) -> h.Node:
    """Reasons of clients, of rounds without a model, and of warnings; the most frequent first."""
    if not run.rounds:
        return h.p["No round has ended."]
    ranked = groups_of(run)
    if not ranked:
        return h.p[
            "Every client that was waited for sent an update that counts, and nothing was wrong with the models."
        ]
    rows = (
        (
            group.what,
            group.reason,
            f"{len(group.rounds):,}",
            _named(group.clients),
            formats.spans(sorted(set(group.rounds))),
        )
        for group in ranked[:_LISTED]
    )
    more = len(ranked) - _LISTED
    columns = ("what", "reason", "times", "devices", "rounds")
    return [
        h.p(".note")[f"{formats.counted(more, 'other reason')} that came less often left out."] if more > 0 else None,
        table("What went wrong, the most frequent first", columns, rows, frozenset({"reason", "devices", "rounds"})),
    ]


class Group:
    """All that went wrong for the same reason."""

    def __init__(self, what: str, reason: str) -> None:
        self.what, self.reason = what, reason
        self.clients: dict[str, None] = {}
        self.rounds: list[int] = []


def groups_of(run: RecordedRun) -> list[Group]:
    """What went wrong, the most frequent first."""
    groups: dict[tuple[str, str], Group] = {}
    for what, reason, client, number in _all(run):
        group = groups.setdefault((what, reason), Group(what, reason))
        group.rounds.append(number)
        if client is not None:
            group.clients[client] = None
    return sorted(groups.values(), key=lambda group: (-len(group.rounds), group.what, group.reason))


def _all(run: RecordedRun) -> Iterator[tuple[str, str, str | None, int]]:
    for row in run.clients:
        if row.state in _MEANT:
            yield _MEANT[row.state], row.reason or "", row.client, row.round
    for line in run.rounds:
        if line.status == "aborted":
            yield "the round made no model", line.reason or "", None, line.round
        for text in line.warnings:
            yield "warning", text, None, line.round
        for metric in line.not_finite:
            yield "warning", f"{short(metric)} was not finite on some devices", None, line.round


def _named(clients: Iterable[str], most: int = 5) -> str:
    names = list(clients)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more
