"""Every device of a federation, with what it is at now and what the rounds came to for it: rows that change singly."""

from collections.abc import Mapping

from reporting.cells import printable
from reporting.pictures.device_figures import DeviceFigures
from reporting.view import Device, View

COLUMNS = ("device", "state", "training", "updates", "turnaround (s)", "examples", "last reason")
TEXTS = frozenset({"state", "last reason"})

Row = tuple[str, ...]


def fleet_rows(view: View, figures: Mapping[str, DeviceFigures]) -> dict[str, Row]:
    """Device -> its cells, in the order of the names; `figures` are of the rounds that have ended."""
    now = {one.name: one for one in view.devices()}
    return {name: _row(name, now.get(name), figures.get(name)) for name in sorted({*now, *figures})}


def _row(name: str, now: Device | None, past: DeviceFigures | None) -> Row:
    reason = (now.reason if now else None) or (past.reason if past else None) or ""
    return (
        printable(name),
        now.state if now else "",
        f"epoch {now.epoch:,} of {now.epochs:,}" if now and now.epoch is not None and now.epochs else "",
        f"{past.states['accepted']:,} of {past.asked:,}" if past else "",
        f"{past.turnaround_s:.1f}" if past and past.turnaround_s is not None else "",
        f"{past.examples:,}" if past and past.examples is not None else "",
        printable(reason),
    )
