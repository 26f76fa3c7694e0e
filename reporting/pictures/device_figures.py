"""What the rounds come to for each device: pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from cloud.state.spread import mean
from protocol.messages import Numbers
from reporting.records import ClientRow, ClientState

PHASES = ("wait", "download", "train", "upload")
"""What a device's time goes to, from its notification to its update."""


class DeviceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one device: the states that it had, the mean of the seconds of each phase over the rounds that have them, the
    last that is known of the rest."""

    name: str
    states: Counter[ClientState]
    phases_s: dict[str, float]
    turnaround_s: float | None
    examples: int | None
    sent_bytes: int
    reason: str | None
    metrics: Numbers

    @property
    def asked(self) -> int:
        """In how many rounds it was asked, or answered."""
        return self.states.total()

    @property
    def whole_s(self) -> float:
        """All phases together, as far as they are not negative."""
        return sum(max(0.0, value) for value in self.phases_s.values())


def device_figures(rows: Iterable[ClientRow]) -> dict[str, DeviceFigures]:
    """Those of each device, by its name, in the order of the names."""
    of_device: defaultdict[str, list[ClientRow]] = defaultdict(list)
    for row in rows:
        of_device[row.client].append(row)
    return {name: _figures(name, of_device[name]) for name in sorted(of_device)}


def _figures(name: str, rows: list[ClientRow]) -> DeviceFigures:
    of_phase = {phase: [v for row in rows if (v := getattr(row, f"{phase}_s")) is not None] for phase in PHASES}
    turnarounds = [row.turnaround_s for row in rows if row.turnaround_s is not None]
    metrics: Numbers = {}
    for row in rows:
        metrics |= row.metrics
    return DeviceFigures(
        name=name,
        states=Counter(row.state for row in rows),
        phases_s={phase: mean(values) for phase, values in of_phase.items() if values},
        turnaround_s=mean(turnarounds) if turnarounds else None,
        examples=next((row.examples for row in reversed(rows) if row.examples is not None), None),
        sent_bytes=sum(row.bytes or 0 for row in rows),
        reason=next((row.reason for row in reversed(rows) if row.reason is not None), None),
        metrics=metrics,
    )
