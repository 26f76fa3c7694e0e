"""The loss and the right answers of a classifier: what the default training and evaluation reckon with.

Outputs are scores of classes, [examples, classes, ...]; targets are class numbers, [examples, ...], or probabilities of
classes, of the outputs' shape. A class number of IGNORED does not count, as for torch's cross_entropy.
"""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100

_LACKING = 1e-8
"""For so many targets a class counts that a client has none of: its margin is 100 times `calibration`."""

_OWN = "give your task a loss(), or its own train() and evaluate()"


def check(outputs: object, targets: Tensor) -> None:
    """Passes if these are a classifier's.

    Raises:
        TypeError: they are not; the text says what to do.
    """
    if not isinstance(outputs, Tensor):
        raise TypeError(f"the model gives {type(outputs).__name__}, no tensor of scores: {_OWN}")
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        raise TypeError(
            f"the model gives a tensor of shape {list(outputs.shape)}: the default training and evaluation need scores "
            f"[examples, classes, ...] of at least 2 classes; else {_OWN}"
        )
    if targets.is_floating_point() or targets.is_complex():
        if targets.shape != outputs.shape or not _are_probabilities(targets):
            raise TypeError(
                f"targets are {targets.dtype} of shape {list(targets.shape)}, the default training and evaluation need "
                f"class numbers (torch.long), or the probability of each class; else {_OWN}"
            )
    elif targets.shape != (wanted := outputs.shape[:1] + outputs.shape[2:]):
        raise TypeError(
            f"targets are of shape {list(targets.shape)}, and the model gives {list(outputs.shape)}, whose second "
            "dimension is the classes: the default training and evaluation need class numbers of shape "
            f"{list(wanted)}; else {_OWN}"
        )


def _are_probabilities(targets: Tensor) -> bool:
    if targets.is_complex():
        return False
    sums = targets.sum(1, dtype=torch.float32)
    return bool((targets >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-2)


def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of the targets that count; nan if there are none."""
    return functional.cross_entropy(outputs, _numbers(targets).to(outputs.device), ignore_index=IGNORED)


def count_targets(targets: Tensor) -> int:
    """How many targets count."""
    if targets.is_floating_point():
        return targets.numel() // targets.shape[1]
    return int((_numbers(targets) != IGNORED).sum())


def class_counts(targets: Tensor) -> Counter[int]:
    """How many targets are of each class that there is among them; of probabilities, their sums."""
    if targets.is_floating_point() and targets.ndim > 1:
        sums = targets.transpose(0, 1).flatten(1).sum(1, dtype=torch.float64)
        return Counter(dict(enumerate(sums.tolist())))
    numbers, counts = torch.unique(targets.long(), return_counts=True)
    return Counter(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))


def margins(counts: Mapping[int, float], calibration: float, classes: int) -> Tensor:
    """What FedLC takes from the score of each class where a client has so many targets of it: `calibration` *
    n^(-1/4) (Zhang et al., ICML 2022, eq. 8). So the classes that it has few of are learned with a larger margin, and
    those that it lacks are not pushed down."""
    known = torch.tensor([max(counts.get(number, 0), _LACKING) for number in range(classes)])
    return calibration * known.pow(-0.25)


def calibrated(outputs: Tensor, margins: Tensor) -> Tensor:
    """Scores without these margins of the classes."""
    return outputs - margins.to(outputs).view(1, -1, *[1] * (outputs.ndim - 2))


def right_answers(outputs: Tensor, targets: Tensor) -> int:
    """For how many of the targets that count the class of the highest score is the right one, or the likeliest."""
    targets = (targets.argmax(1) if targets.is_floating_point() else _numbers(targets)).to(outputs.device)
    return int((outputs.argmax(1) == targets).sum())


def _numbers(targets: Tensor) -> Tensor:
    return targets if targets.is_floating_point() else targets.long()
