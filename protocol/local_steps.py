"""How long local training is, as its settings have it: devices train by it, and the cloud bounds claims by it."""

import math

from protocol.messages import Training

ENDLESS = 1 << 62
"""So many epochs are as many as the steps take."""


def limits(settings: Training) -> tuple[int, int]:
    """The number of epochs, and of steps, 0 if these are not limited."""
    steps = settings.steps or 0
    return settings.epochs or (ENDLESS if steps else 1), steps


def count_steps(settings: Training, examples: int) -> int:
    """How many optimizer steps these settings ask for."""
    epochs, steps = limits(settings)
    if epochs == ENDLESS:
        return steps
    in_epochs = epochs * math.ceil(examples / settings.batch_size)
    return min(steps, in_epochs) if steps else in_epochs
