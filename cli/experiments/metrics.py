"""What an experiment tabulates of a run: a metric after the last round, its best value, or when it reached a target."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from cli.settings.problems import Problem, shown
from reporting.records import RoundLine

Goal = Literal["max", "min"]

CLIENTS = "clients."
"""What the name of a metric begins with that is of the clients' own data. Others are of the held-out data."""

_METRIC = re.compile(
    r"(?P<unit>rounds|seconds) until (?P<reached>\S+) (?P<than>>=|<=) (?P<target>[-+.0-9eE]+)"
    r"|(?P<best>best )?(?P<name>\S+)"
)
_FORMS = "accuracy, best accuracy, rounds until accuracy >= 0.9, or seconds until accuracy >= 0.9"


class Target(NamedTuple):
    """A value to be reached, and in what the way there is measured."""

    unit: Literal["rounds", "seconds"]
    than: Literal[">=", "<="]
    value: float


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the table: what the file calls it, the metric that it is `of`, and whether more of it is better."""

    text: str
    of: str
    goal: Goal
    is_best: bool = False
    target: Target | None = None

    @property
    def sign(self) -> int:
        """What makes more better."""
        return 1 if self.goal == "max" else -1

    def value(self, lines: Sequence[RoundLine]) -> float | None:
        """Its value in a run; None if it has none: not a finite one, or the target was not reached."""
        having = [(line, values[self.name]) for line in lines if self.name in (values := self._values(line))]
        if self.target is not None:
            ended = next((line for line, value in having if value is not None and self._is_reached(value)), None)
            return None if ended is None else ended.round if self.target.unit == "rounds" else ended.ended_at
        finite = [value for _, value in having if value is not None]
        if self.is_best:
            return max(finite, key=lambda value: self.sign * value, default=None)
        return having[-1][1] if having else None

    @property
    def name(self) -> str:
        """The metric, as the rounds have it."""
        return self.of.removeprefix(CLIENTS)

    @property
    def is_held_out(self) -> bool:
        """Whether it is measured on data that no client has."""
        return not self.of.startswith(CLIENTS)

    def by_round(self, lines: Iterable[RoundLine]) -> dict[int, tuple[float, float]]:
        """Round -> when it ended, and the value."""
        values = ((line, self._values(line).get(self.name)) for line in lines)
        return {line.round: (line.ended_at, value) for line, value in values if value is not None}

    def _values(self, line: RoundLine) -> dict[str, float | None]:
        return line.held_out if self.is_held_out else line.metrics

    def _is_reached(self, value: float) -> bool:
        assert self.target is not None  # noqa: S101 - callers have looked
        return value >= self.target.value if self.target.than == ">=" else value <= self.target.value


def metrics_of(raw: Any, found: list[Problem]) -> tuple[Metric, ...]:
    """The metrics that a file asks for; what is wrong with them is told in `found`."""
    if not isinstance(raw, dict) or not raw:
        told = "is missing" if raw is None else shown(raw)
        found.append(Problem(("metrics",), f"{told}: use metrics with max or min, such as {{accuracy: max}}"))
        return ()
    metrics = []
    for text, goal in raw.items():
        parsed = _parsed(text)
        if goal not in ("max", "min"):
            found.append(Problem(("metrics", text), f"{shown(goal)}: use max if more is better, or min"))
        elif parsed is None:
            found.append(Problem(("metrics", text), f"this is no metric: use a form of {_FORMS}"))
        else:
            metrics.append(msgspec.structs.replace(parsed, goal=goal))
    return tuple(metrics)


def _parsed(text: str) -> Metric | None:
    match = _METRIC.fullmatch(text)
    if match is None:
        return None
    if match["reached"] is None:
        return Metric(text=text, of=match["name"], goal="max", is_best=match["best"] is not None)
    try:
        target = Target(match["unit"], match["than"], float(match["target"]))  # type: ignore[arg-type]
    except ValueError:
        return None
    return Metric(text=text, of=match["reached"], goal="min", target=target)


class Known(NamedTuple):
    """The names of metrics that rounds have had."""

    held_out: frozenset[str]
    clients: frozenset[str]

    def including(self, line: RoundLine) -> "Known":
        """With those of one more round."""
        return Known(self.held_out | line.held_out.keys(), self.clients | line.metrics.keys())


NOTHING_KNOWN = Known(frozenset(), frozenset())


def unknown(metrics: Iterable[Metric], known: Known) -> list[Problem]:
    """The metrics that no round has, as far as rounds have had any."""
    names = {True: known.held_out, False: known.clients}
    all_names = ", ".join([*sorted(known.held_out), *(f"{CLIENTS}{name}" for name in sorted(known.clients))])
    return [
        Problem(("metrics", metric.text), f"the task gives no metric {metric.of}: there are {all_names}")
        for metric in metrics
        if names[metric.is_held_out] and metric.name not in names[metric.is_held_out]
    ]
