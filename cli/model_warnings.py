"""What is wrong with a round's model, in lines for people."""

from collections.abc import Mapping, Sequence

from cli.plurals import counted

_LARGE, _SMALL = 1e9, 1e-3
"""From here on, and below, a metric is written with an exponent."""

_SHARES = frozenset({"accuracy", "acc", "precision", "recall"})


def lines(not_finite: Mapping[str, int], warnings: Sequence[str]) -> list[str]:
    """The warnings of a round; and which metrics were no finite numbers, of how many clients."""
    of_metrics = [f"{name} was not finite on {counted(count, 'client')}" for name, count in sorted(not_finite.items())]
    return [f"warning: {text}" for text in (*warnings, *of_metrics)]


def text_of(metrics: Mapping[str, float | None]) -> str:
    """Metrics by name."""
    return " ".join(f"{name} {number(value)}" for name, value in metrics.items())


def number(value: float | None) -> str:
    """A metric's value."""
    if value is None:
        return "not finite"
    return f"{value:.4f}" if value == 0 or _SMALL <= abs(value) < _LARGE else f"{value:.4e}"


def named_value(name: str, value: float | None) -> str:
    """A metric's value, in percent if its name says that it is a share."""
    is_share = value is not None and 0 <= value <= 1 and _SHARES & set(name.lower().split("_"))
    return f"{value:.1%}" if is_share else number(value)
