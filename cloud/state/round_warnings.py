"""What is wrong with a round's new model, or with what it was made of, in a few short texts: pure functions.

Merged in whatever order, by however many invocations, the same warnings come out.
"""

from collections.abc import Iterable

MAX_WARNINGS = 8
"""So many are recorded of a round, the first ones in the order of their texts."""

_MAX_CHARACTERS = 200


def merged(*warnings: Iterable[str]) -> tuple[str, ...]:
    """All of them, each once."""
    return tuple(sorted({shortened(text) for some in warnings for text in some})[:MAX_WARNINGS])


def shortened(text: str) -> str:
    """A text with its middle left out, if it is too long."""
    half = (_MAX_CHARACTERS - 3) // 2
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:half]}...{text[-half:]}"


def negative_variance(tensor: str) -> str:
    """The warning of a new model whose tensor of this name is a variance."""
    return f"tensor {tensor!r} of the new model has a negative variance: evaluation may give no numbers"


def saturated(tensor: str) -> str:
    """The warning of a new model in whose tensor of this name a value would be larger than float16 has."""
    return f"tensor {tensor!r} of the new model has values at the largest that F16 can hold: training may diverge"
