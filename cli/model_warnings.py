"""What is wrong with a round's model, in lines for people."""

from collections.abc import Mapping, Sequence

from cli.plurals import counted

_LARGE = 1e9
"""From here on a metric is written with an exponent."""


def lines(not_finite: Mapping[str, int], warnings: Sequence[str]) -> list[str]:
    """The warnings of a round; and which metrics were no finite numbers, of how many clients."""
    of_metrics = [f"{name} was not finite on {counted(count, 'client')}" for name, count in sorted(not_finite.items())]
    return [f"warning: {text}" for text in (*warnings, *of_metrics)]


def text_of(metrics: Mapping[str, float | None]) -> str:
    """Metrics by name."""
    return " ".join(f"{name} {'not finite' if value is None else number(value)}" for name, value in metrics.items())


def number(value: float) -> str:
    """A metric's value."""
    return f"{value:.4f}" if abs(value) < _LARGE else f"{value:.4e}"
