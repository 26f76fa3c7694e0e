"""Everyone takes part."""

from cloud.initiator.selection.policy import SelectionPolicy
from cloud.settings import MAX_COHORT

ALL = SelectionPolicy(pool=lambda _cohort: MAX_COHORT, choose=lambda candidates: candidates.clients)
