"""`fedgrass demo --chaos`: the same federation twice, calm and with faults."""

from typing import Any, NamedTuple, Protocol

import msgspec

from cli.display import Display
from cli.errors.kind import ResultError
from cli.outcome import Outcome
from cli.run_options import RunOptions
from sandbox.chaos import Chaos

ACCURACY_MARGIN = 0.02
"""How far below the calm run's the accuracy may end."""

SETTINGS: dict[str, Any] = {
    "deadline_s": 15.0,
    "extension_s": 15.0,
    "selection": {"policy": "all"},
    "completion": "target",
    "target": "100%",
    "quorum": "50%",
    "max_staleness": 0,
    "pacing": {"policy": "at_once"},
}
"""Of both runs: everybody takes part, and a round waits for everybody, but not for long."""


class NotSurvivedError(ResultError):
    """A fault was not survived, or the model is worse than without them."""


class ChaosOptions(NamedTuple):
    """The seed that plans the faults, and how many devices there are to be."""

    seed: int
    devices: int


class Run(Protocol):
    """Carries a federation through, with or without faults."""

    def __call__(self, options: RunOptions, /, *, chaos: Chaos | None = None) -> Outcome: ...


def compare(run: Run, options: RunOptions, chaos: ChaosOptions, display: Display) -> Outcome:
    """Run calm, then with faults; the outcome is the second run's, with the first's accuracy. The second is the one
    that is kept and written."""
    display.begin("without faults")
    calm = run(msgspec.structs.replace(options, keep=None, out=None))
    display.begin("with faults")
    outcome = run(options, chaos=Chaos(chaos.seed, display.screen.line))
    return msgspec.structs.replace(outcome, calm_accuracy=calm.accuracy)


def survived(outcome: Outcome) -> bool:
    """Whether all faults were survived, and the model is as good as without them."""
    accurate = (outcome.accuracy or 0.0) >= (outcome.calm_accuracy or 0.0) - ACCURACY_MARGIN
    return accurate and all(each.survived for each in outcome.chaos)
