"""Stochastic gradient descent, as torch.optim.SGD does it, with FedProx's proximal term and clipped gradients."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from protocol.messages import Training


class Sgd:
    """Written out: torch.optim imports torch's compiler, which costs a device a second and 150 MB for nothing.

    A step, in this order: the gradient of the loss and of the proximal term, `proximal` / 2 times the squared distance
    from the global model (Li et al., 2020, eq. 2); all of it scaled down to the L2 norm `clip_norm` if it is over that
    (torch.nn.utils.clip_grad_norm_; Pascanu et al., 2013, algorithm 1); plus `weight_decay` times the parameter, the
    gradient of an L2 penalty; gathered by `momentum`; times `learning_rate`. The last three are torch.optim.SGD's.
    """

    def __init__(self, model: nn.Module, settings: Training) -> None:
        self._settings = settings
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._velocities: list[Tensor | None] = [None] * len(self._parameters)
        self._anchors = [parameter.detach().clone() for parameter in self._parameters] if settings.proximal else []
        self._needs_dense = bool(settings.proximal or settings.clip_norm or settings.weight_decay or settings.momentum)

    def step(self, loss: Tensor) -> None:
        settings = self._settings
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for index, parameter in enumerate(self._parameters):
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse and self._needs_dense:
                    parameter.grad = parameter.grad.to_dense()
                if settings.proximal:
                    parameter.grad.add_(parameter - self._anchors[index], alpha=settings.proximal)
            if settings.clip_norm is not None:
                nn.utils.clip_grad_norm_(self._parameters, settings.clip_norm)
            for index, parameter in enumerate(self._parameters):
                gradient = parameter.grad
                if gradient is None:
                    continue
                if settings.weight_decay:
                    gradient.add_(parameter, alpha=settings.weight_decay)
                if settings.momentum:
                    velocity = self._velocities[index]
                    if velocity is None:
                        self._velocities[index] = gradient
                    else:
                        gradient = velocity.mul_(settings.momentum).add_(gradient)
                parameter.sub_(gradient, alpha=settings.learning_rate)

    def state(self) -> dict[str, Tensor]:
        """What the next step needs of those before, for a checkpoint."""
        return {f"velocity.{index}": value for index, value in enumerate(self._velocities) if value is not None}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what `state` gave; there may be other tensors among it."""
        self._velocities = [
            None if (value := state.get(f"velocity.{index}")) is None else value.to(parameter.device)
            for index, parameter in enumerate(self._parameters)
        ]
