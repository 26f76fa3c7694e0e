"""The server optimizers, looked up here and nowhere else."""

from typing import assert_never

from cloud.averaging.optimizers.adaptive import fedadagrad, fedadam, fedyogi
from cloud.averaging.optimizers.fedavg import fedavg
from cloud.averaging.optimizers.fedavgm import fedavgm
from cloud.averaging.optimizers.optimizer import Optimizer
from cloud.settings import Averaging, FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi, ServerOptimizer


def optimizer_of(settings: ServerOptimizer) -> Optimizer:
    """The optimizer that settings describe."""
    match settings:
        case FedAvg():
            return fedavg(settings)
        case FedAvgM():
            return fedavgm(settings)
        case FedAdagrad():
            return fedadagrad(settings)
        case FedAdam():
            return fedadam(settings)
        case FedYogi():
            return fedyogi(settings)
        case _:
            assert_never(settings)


def vectors_of(settings: Averaging) -> int:
    """How many numbers are kept of each coordinate from round to round: the optimizer's vectors and, with variance
    reduction, the sum of all clients' last updates behind them."""
    return len(optimizer_of(settings.optimizer).vectors) + settings.variance_reduction
