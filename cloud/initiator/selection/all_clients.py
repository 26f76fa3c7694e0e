"""Everyone takes part."""

from cloud.initiator.selection.policy import SelectionPolicy

ALL = SelectionPolicy(choose=lambda candidates: candidates.clients)
