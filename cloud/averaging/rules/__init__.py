"""The averaging rules, one a file, looked up here and nowhere else."""

from typing import assert_never

from cloud.averaging.rules.custom import CUSTOM
from cloud.averaging.rules.krum import KRUM, MULTI_KRUM
from cloud.averaging.rules.mean import MEAN, WEIGHTED
from cloud.averaging.rules.median import MEDIAN
from cloud.averaging.rules.rule import Rule
from cloud.averaging.rules.trimmed_mean import TRIMMED_MEAN
from cloud.settings import Averaging, RuleName


def rule_of(name: RuleName) -> Rule:
    """The rule that settings name."""
    match name:
        case "mean":
            return MEAN
        case "weighted":
            return WEIGHTED
        case "median":
            return MEDIAN
        case "trimmed_mean":
            return TRIMMED_MEAN
        case "krum":
            return KRUM
        case "multi_krum":
            return MULTI_KRUM
        case "custom":
            return CUSTOM
        case _:
            assert_never(name)


def least_updates(settings: Averaging) -> int:
    """Of how many updates the rule of these settings can make a model at least."""
    return rule_of(settings.rule).least.updates(settings)
