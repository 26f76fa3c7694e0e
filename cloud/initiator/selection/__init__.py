"""The selection policies, one a file, looked up here and nowhere else."""

from typing import assert_never

from cloud.initiator.selection.all_clients import ALL
from cloud.initiator.selection.balanced import BALANCED
from cloud.initiator.selection.custom import CUSTOM
from cloud.initiator.selection.fastest import FASTEST
from cloud.initiator.selection.oort import OORT
from cloud.initiator.selection.policy import SelectionPolicy
from cloud.initiator.selection.probabilistic import PROBABILISTIC
from cloud.initiator.selection.random_sample import RANDOM
from cloud.initiator.selection.stratified import STRATIFIED
from cloud.initiator.selection.tiers import BY_TIERS
from cloud.settings import SelectionPolicyName


def selection_policy_of(name: SelectionPolicyName) -> SelectionPolicy:
    """The policy that settings name."""
    match name:
        case "balanced":
            return BALANCED
        case "all":
            return ALL
        case "random":
            return RANDOM
        case "fastest":
            return FASTEST
        case "oort":
            return OORT
        case "tiers":
            return BY_TIERS
        case "stratified":
            return STRATIFIED
        case "probabilistic":
            return PROBABILISTIC
        case "custom":
            return CUSTOM
        case _:
            assert_never(name)
