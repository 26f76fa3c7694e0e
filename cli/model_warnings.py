"""What is wrong with a round's model, in lines for people."""

import itertools
from collections.abc import Callable, Mapping, Sequence

from cli.plurals import counted
from reporting.cells import short

_ON_A_LINE = 8
"""So many metrics stand on the line of a round."""

_LARGE, _SMALL = 1e9, 1e-3
"""From here on, and below, a metric is written with an exponent."""

_SHARES = frozenset({"accuracy", "acc", "precision", "recall"})


def lines(not_finite: Mapping[str, int], warnings: Sequence[str]) -> list[str]:
    """The warnings of a round; and which metrics were no finite numbers, of how many clients."""
    ranked = sorted(not_finite.items())
    of_metrics = [f"{short(name)} was not finite on {counted(count, 'client')}" for name, count in ranked[:_ON_A_LINE]]
    if more := len(ranked) - len(of_metrics):
        of_metrics.append(f"{counted(more, 'more metric')} not finite")
    return [f"warning: {text}" for text in (*warnings, *of_metrics)]


def text_of(metrics: Mapping[str, float | None]) -> str:
    """Metrics by name."""
    return told(metrics, number, " ")


def told(metrics: Mapping[str, float | None], shown: Callable[[float | None], str], gap: str) -> str:
    """The first metrics by name, and how many more there are: what follows on the line is to be seen, too."""
    first = [f"{short(name)} {shown(value)}" for name, value in itertools.islice(metrics.items(), _ON_A_LINE)]
    if more := len(metrics) - len(first):
        first.append(f"and {counted(more, 'more metric')}")
    return gap.join(first)


def number(value: float | None) -> str:
    """A metric's value."""
    if value is None:
        return "not finite"
    return f"{value:.4f}" if value == 0 or _SMALL <= abs(value) < _LARGE else f"{value:.4e}"


def named_value(name: str, value: float | None) -> str:
    """A metric's value, in percent if its name says that it is a share."""
    is_share = value is not None and 0 <= value <= 1 and _SHARES & set(name.lower().split("_"))
    return f"{value:.1%}" if is_share else number(value)
