"""What a demo showed, as its last line of output and its tables tell it."""

import msgspec

from sandbox.faults import Survival
from sandbox.function_logs import FunctionFigures
from sandbox.round_figures import RoundFigures


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run showed. `accuracy` (0 to 1) is of the last global model on data that no device has; times are medians
    over rounds 2 and later, in seconds; `overhead_s` is a round's time less its longest local training. `memory_mb` is
    what everything together takes, devices and embedded AWS; `functions` tells of the functions' invocations. `chaos`
    is what became of injected faults, `calm_accuracy` the accuracy of the same run without them."""

    accuracy: float | None
    rounds: int
    devices: int
    round_s: float
    overhead_s: float
    split_s: dict[str, float]
    idle_agent_mb: float
    memory_mb: float
    started_s: float
    functions: dict[str, FunctionFigures]
    history: list[RoundFigures]
    chaos: list[Survival] = []
    calm_accuracy: float | None = None
