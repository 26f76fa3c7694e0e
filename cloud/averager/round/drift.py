"""Whether those who train find the global model as good as a random sample of all clients has found it: pure.

They measure the same model on data of the same kind, so their means may differ by chance alone. Where they don't, those
who train are not as the others are, or don't say the truth; and what they report is no measure of the model.
"""

import math
from collections.abc import Iterator

from cloud.state.records import RoundRecord
from cloud.state.spread import Spread

ERRORS = 4.0
"""A difference of more standard errors than this is none of chance."""

LEAST_SHARE = 0.01
"""A difference of less than this share of the value is none that matters."""

LEAST_DEVICES = 10
"""Of fewer devices on either side their spread says too little of what chance does."""


def drifts(record: RoundRecord) -> Iterator[str]:
    """A warning for each metric of the model that the last round before evaluated, if this one trains from it."""
    evaluation = record.evaluation
    if evaluation is None or record.evaluates or evaluation.model != record.base.key:
        return
    for name, reported in (record.metrics or {}).items():
        found, there, here = evaluation.metrics.get(name), evaluation.spreads.get(name), record.spreads.get(name)
        if found is None or there is None or here is None or not is_drift(reported, here, found, there):
            continue
        yield (
            f"{name!r} is {reported:.4g} by the {here.devices} clients that train, and {found:.4g} by the "
            f"{there.devices} that round {evaluation.round} drew from all: they differ by more than chance"
        )


def is_drift(reported: float, here: Spread, found: float, there: Spread) -> bool:
    """Whether two means over devices differ by more than those of two samples of the same devices would. Either may
    have found less of their spread than there is: the larger deviation counts."""
    if min(here.devices, there.devices) < LEAST_DEVICES or here.deviation is None or there.deviation is None:
        return False
    deviation = max(here.deviation, there.deviation)
    error = deviation * math.sqrt(1 / here.effective + 1 / there.effective)
    return abs(reported - found) > max(ERRORS * error, LEAST_SHARE * max(abs(reported), abs(found)))
