"""What a run showed, as --json and its tables tell it."""

import msgspec

from protocol.messages import Numbers
from reporting.round_figures import RoundFigures
from sandbox.faults import Survival
from sandbox.function_logs import FunctionFigures


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run showed. `metrics` are those of the last global model on data that no device has, `accuracy` among them
    (0 to 1) if there is one; `client_metrics` are those of the devices together in the last round. Times are medians
    over rounds 2 and later, in seconds; `overhead_s` is a round's time less its longest local training. `memory_mb` is
    what everything together takes, devices and embedded AWS; `functions` tells of the functions' invocations. `chaos`
    is what became of injected faults, `calm_accuracy` the accuracy of the same run without them. `run_folder` is where
    the rounds are written, `report` the page of them, `kept` where what there was of the sandbox is."""

    federation: str
    accuracy: float | None
    metrics: Numbers
    client_metrics: dict[str, float]
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
    run_folder: str | None = None
    report: str | None = None
    kept: str | None = None
    chaos: list[Survival] = []
    calm_accuracy: float | None = None
