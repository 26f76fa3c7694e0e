"""A cohort is drawn, each client with the same probability."""

from cloud.initiator.selection.policy import OF_A_COHORT, SelectionPolicy

RANDOM = SelectionPolicy(
    settings=OF_A_COHORT,
    pool=lambda cohort: cohort,
    choose=lambda candidates: candidates.generator.sample(list(candidates.clients), candidates.cohort),
)
