"""Rounds of updates that a test has made, to be averaged in memory."""

from collections.abc import Iterable, Mapping
from typing import Any

from cloud.settings import Averaging
from protocol.messages import Training
from simulation.averaging import Round, accepted

TRAINING = Training(epochs=1, batch_size=1, learning_rate=0.1)


def round_of(
    base: bytes,
    updates: Iterable[bytes],
    settings: Averaging | None = None,
    *,
    training: Training = TRAINING,
    elements: int = 1000,
    part_bytes: int = 1 << 30,
    norms: Mapping[str, float] | None = None,
    ages: Mapping[str, int] | None = None,
    trained_from: Mapping[str, int | None] | None = None,
    integer_changes: Mapping[str, int] | None = None,
    **options: Any,
) -> Round:
    """These updates, cut into small blocks, with what inspection found of each client's."""
    found = accepted(
        updates,
        norms=norms or {},
        ages=ages or {},
        trained_from=trained_from or {},
        integer_changes=integer_changes or {},
    )
    return Round(base, found, settings or Averaging(), training, elements=elements, part_bytes=part_bytes, **options)
