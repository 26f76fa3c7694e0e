"""What the rounds of each combination took their simulated time for. Pure."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from cli.experiments.results import RunRounds
from reporting.records import STEPS, RoundLine


class RoundTime(msgspec.Struct, frozen=True, kw_only=True):
    """A combination's round on the average, over all rounds of all of its runs: the seconds of each of STEPS."""

    combination: str
    parts: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The whole."""
        return math.fsum(self.parts)


def round_times_of(combinations: Iterable[str], runs: Sequence[RunRounds]) -> list[RoundTime]:
    """Those of these combinations that have runs, if any round of them took time."""
    found = []
    for name in combinations:
        of_it = (run for run in runs if run.planned.combination == name and run.failure is None)
        rounds = [_parts(line) for run in of_it for line in run.lines]
        if rounds:
            means = tuple(math.fsum(part) / len(rounds) for part in zip(*rounds, strict=True))
            found.append(RoundTime(combination=name, parts=means))
    return found if any(each.seconds > 0 for each in found) else []


def _parts(line: RoundLine) -> list[float]:
    """On the way of the client whose update came last. What it did before the round began, as where rounds don't wait,
    is none of the round's time."""
    parts, at = [], 0.0
    for step in STEPS:
        after = at + line.seconds_of(step)
        parts.append(max(0.0, after) - max(0.0, at))
        at = after
    return parts
