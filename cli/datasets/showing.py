"""Shows on the screen who has what."""

from pathlib import Path

from cli.datasets.writing import CLIENTS, HOLDOUT, PLOT, RECORD, Share, SplitRecord
from cli.plurals import counted
from cli.screen import Screen
from cli.table import Table

_MOST_CLIENTS = 40
_MOST_LABELS = 12
_SHORTEST = 1
_LONGEST_LABEL = 16


def show(record: SplitRecord, directory: Path, screen: Screen) -> None:
    """A table of examples by client and label, darker where there are more, and where they lie."""
    shown = sorted(record.labels, key=lambda label: -_total(record, label))[:_MOST_LABELS]
    labels = [label for label in record.labels if label in shown]
    others = len(record.labels) > len(labels)
    rows = [(name, share) for name, share in record.clients.items()][:_MOST_CLIENTS]
    if record.holdout is not None:
        rows.append((HOLDOUT, record.holdout))
    most = max((share.examples for _, share in rows), default=1)
    deepest = max((count for _, share in rows[:_MOST_CLIENTS] for count in share.labels.values()), default=1)

    def cells(name: str, share: Share) -> tuple[str, ...]:
        counts = [share.labels.get(label, 0) for label in labels]
        rest = [sum(share.labels.values()) - sum(counts)] if others else []
        bar = [] if labels else ["█" * max(_SHORTEST, round(30 * share.examples / most))]
        return (name, f"{share.examples:,}", *(f"{count:,}" if count else "" for count in counts + rest), *bar)

    def depths(share: Share) -> tuple[float, ...]:
        return (0.0, 0.0, *(min(1.0, share.labels.get(label, 0) / deepest) for label in labels))

    headings = [label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…" for label in labels]
    columns = ("client", "examples", *headings, *(["others"] if others else []), *([] if labels else [""]))
    table = Table(columns=columns, rows=[cells(name, share) for name, share in rows], texts=frozenset([""]))
    screen.heat_map(table, [depths(share) if share is not record.holdout else () for _, share in rows])
    if len(record.clients) > _MOST_CLIENTS:
        screen.line(f"and {counted(len(record.clients) - _MOST_CLIENTS, 'more client')}: {RECORD} has them all")
    for note in record.notes:
        screen.line(f"note: {note}", "yellow")
    screen.line(f"{counted(len(record.clients), 'client')} in {directory / CLIENTS}")
    if record.holdout is not None:
        screen.line(f"{counted(record.holdout.examples, 'example')} that no client has in {directory / HOLDOUT}")
    screen.line(f"who has what: {directory / PLOT}, and for programs {directory / RECORD}")


def _total(record: SplitRecord, label: str) -> int:
    return sum(share.labels.get(label, 0) for share in record.clients.values())
