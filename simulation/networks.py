"""The task's model, used again for one client after the other where that gives the same bits as a new one."""

import torch
from torch import nn

from components.client.trainer.local_update import GlobalModel, fresh_networks
from components.client.trainer.model.travelling_tensors import outside_state_dict, tensors_of
from components.client.trainer.task.loading import Task

OWN_FUNCTIONS = ("train", "evaluate", "describe", "loss", "parameters")
"""What a task may have that is given the model, and can leave something in it."""

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
)


class ReusedNetworks:
    """Makes networks as `fresh_networks` does. To build one can take longer than to train it for a step: one that
    consists of torch's own modules, in the hands of the default training and evaluation, is kept."""

    def __init__(self, task: Task) -> None:
        self._fresh = fresh_networks(task)
        self._may_keep = not task.has(*OWN_FUNCTIONS)
        self._kept: _Kept | None = None

    def __call__(self, model: GlobalModel, seed: int) -> nn.Module:
        if self._kept is not None and self._kept.fits(model, seed):
            return self._kept.with_numbers_of(model)
        network = self._fresh(model, seed)
        if self._may_keep and is_plain(network):
            self._kept = _Kept(network, model, seed)
        return network


class _Kept:
    def __init__(self, network: nn.Module, model: GlobalModel, seed: int) -> None:
        self._network = network
        self._seed = seed
        self._schema = model.header.schema
        self._tensors = tensors_of(network)
        self._parameters = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
        self._modes = [(module, module.training) for module in network.modules()]
        self._last = model

    def fits(self, model: GlobalModel, seed: int) -> bool:
        return seed == self._seed and (model is self._last or model.header.schema == self._schema)

    def with_numbers_of(self, model: GlobalModel) -> nn.Module:
        """As it was when it was new, but for the numbers."""
        self._last = model
        with torch.no_grad():
            for name, tensor in self._tensors.items():
                tensor.copy_(model.values[name])
        for parameter, takes_gradients in self._parameters:
            parameter.grad = None
            parameter.requires_grad_(takes_gradients)
        for module, mode in self._modes:
            module.training = mode
        return self._network


def is_plain(network: nn.Module) -> bool:
    """Whether all that a model can remember is in its state: all modules are torch's own, without hooks."""
    return not outside_state_dict(network) and all(
        type(module).__module__.startswith("torch.nn.modules.") and not any(getattr(module, name) for name in _HOOKS)
        for module in network.modules()
    )
