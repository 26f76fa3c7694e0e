"""How much there is to compute in a run, to tell how long others will take."""

from cli.experiments.runs import PlannedRun
from cloud.settings import cohort_of
from simulation.devices import trained_on

TYPICAL_EXAMPLES = 500
"""How many a client may have, as long as none is known."""


def examples_in(run: PlannedRun, clients: int, examples: float) -> float:
    """How many examples the clients of a run see in all rounds, if each has so many."""
    settings = run.project.settings
    updates = settings.rounds * cohort_of(settings.selection, clients)
    return updates * trained_on(settings.training, examples)
