"""What happens beside training leaves nothing behind that training could see."""

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import nn

from components.client.trainer.learning import randomness


@contextlib.contextmanager
def without_trace(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards the modes of its modules, its device, which parameters take gradients,
    whether these are recorded, and the random number generators are what they were."""
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    devices = _devices(model)
    states = randomness.capture()
    model.eval()
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()):
            yield
    finally:
        for parameter, takes_gradients in gradients:
            if parameter.requires_grad != takes_gradients:
                parameter.requires_grad_(takes_gradients)
        for module, mode in modes:
            module.training = mode
        if devices and _devices(model) != devices:
            model.to(devices[0])
        randomness.restore(states)


def _devices(model: nn.Module) -> list[torch.device]:
    return [tensor.device for tensor in itertools.chain(model.parameters(), model.buffers())]
