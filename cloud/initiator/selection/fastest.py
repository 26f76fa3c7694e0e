"""The clients with the shortest average turnaround take part; those that were never measured come first."""

from cloud.initiator.selection.policy import OF_A_COHORT, SelectionPolicy, by_turnaround, compared

FASTEST = SelectionPolicy(
    settings=OF_A_COHORT,
    pool=compared,
    choose=lambda candidates: sorted(candidates.clients, key=by_turnaround)[: candidates.cohort],
)
