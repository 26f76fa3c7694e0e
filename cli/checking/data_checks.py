"""Whether a task's data is what a model can be trained on, as far as its first examples show, and why not."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from cli.checking.findings import Severity
from components.client.trainer.learning.batches import batches
from components.client.trainer.learning.classification import IGNORED
from fedgrass.task import Data

_LOOKED_AT = 256
"""So many examples of a set that can only be asked for them one by one."""

_LARGE = 50.0


class Complaint(NamedTuple):
    """What is wrong with the data, and what to do."""

    text: str
    remedy: str
    severity: Severity = "error"


def of_kinds(data: Data) -> Complaint | None:
    """What is no dataset among the two."""
    for name, part in (("train", data.train), ("test", data.test)):
        if part is None and name == "test":
            continue
        remedy = _remedy_for(part)
        if remedy:
            return Complaint(f"Data's {name} is {_kind(part)}, no dataset", remedy)
    return None


def wrong_result(name: str, result: object) -> str:
    """What to return from a function of a task in place of this."""
    if name == "load_data":
        if isinstance(result, Dataset | DataLoader):
            inner = "dataset.dataset" if isinstance(result, DataLoader) else "dataset"
            return f"return Data({inner}), from fedgrass.task import Data"
        if isinstance(result, tuple | list) and len(result) == 2:
            if all(isinstance(part, Tensor | np.ndarray) for part in result):
                return "return Data(TensorDataset(inputs, labels)), from fedgrass.task import Data"
            if all(isinstance(part, DataLoader) for part in result):
                return "return Data(train.dataset, test.dataset): the datasets themselves, not their loaders"
            return "return Data(train, test), from fedgrass.task import Data"
        return "return Data(train, test) of two datasets, such as TensorDataset(inputs, labels)"
    if name == "build_model":
        if isinstance(result, type):
            return f"return the model, not its class: {result.__name__}()"
        if isinstance(result, tuple | list):
            return "return the model alone"
        return "return the model, as by return model"
    if isinstance(result, tuple | list):
        return 'return numbers by name, such as {"loss": loss, "accuracy": accuracy}'
    if isinstance(result, nn.Module):
        return 'train changes the model that it is given, in place: return numbers by name, such as {"loss": loss}'
    return 'return numbers by name, such as {"loss": loss}, or {} for none'


def first_batch(dataset: Any, size: int) -> Any:
    """The first examples of a set, as the default training gets them."""
    return next(batches(Subset(dataset, list(range(min(size, len(dataset))))), size, None)).content


def of_inputs(name: str, dataset: Any) -> Iterator[Complaint]:
    """Numbers among the inputs that no training could use."""
    inputs = _first(dataset)
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or not inputs.numel():
        return
    flat = inputs.reshape(len(inputs), -1)
    bad = (~torch.isfinite(flat)).any(1).nonzero()
    if len(bad):
        yield Complaint(
            f"{name} example {int(bad[0])} has a number that is not finite (nan or infinite), as {len(bad)} of "
            f"{len(inputs)} examples do",
            "an empty cell of a table is read as nan: leave such rows out, or fill them, as by torch.nan_to_num()",
        )
        return
    largest = float(flat.abs().max())
    if largest > _LARGE:
        yield Complaint(
            f"the inputs of the {name} set are as large as {largest:,.0f}: training on such numbers seldom converges",
            "scale them in load_data to about -1 to 1: pixels by / 255, columns by their mean and deviation, with "
            "the same constants on all devices",
            "warning",
        )


def of_targets(dataset: Any, outputs: Tensor, name: str) -> Iterator[Complaint]:
    """Class numbers that the model has no output for. `outputs` are those of some examples."""
    targets = _second(dataset)
    if targets is None or targets.is_floating_point() or targets.is_complex() or not targets.numel():
        return
    classes = outputs.shape[1]
    numbers = targets.long().reshape(len(targets), -1)
    counted = numbers != IGNORED
    wrong = ((numbers < 0) | (numbers >= classes)) & counted
    if not wrong.any():
        return
    example = int(wrong.any(1).nonzero()[0])
    value = int(numbers[wrong][0])
    least, most = int(numbers[counted].min()), int(numbers[counted].max())
    if least >= 1 and most == classes:
        remedy = "classes are counted from 0: subtract 1 from the labels"
    elif least < 0:
        remedy = f"classes are counted from 0; {IGNORED} is what does not count"
    else:
        remedy = f"give the model's last layer {most + 1} outputs, or check how the labels are made"
    yield Complaint(
        f"the label {value} of {name} example {example} is none of the model's {classes} classes, 0 to {classes - 1}; "
        f"the labels go from {least} to {most}",
        remedy,
    )


def of_pairing(outputs: object, targets: Tensor) -> str:
    """What to do about outputs and targets that the default training does not take."""
    own = "give task.py a loss(model, batch), which is trained in place of a classifier's"
    if isinstance(outputs, tuple | list | dict):
        return "return the scores alone from the model's forward()"
    if not isinstance(outputs, Tensor):
        return f"return a tensor of scores from the model's forward(), or {own}"
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        if targets.is_floating_point() and not _are_whole(targets):
            return f"these are numbers to predict, no classes: {own}"
        return f"give the last layer one output for each class, 2 for yes or no; to predict numbers {own}"
    if targets.shape == (len(outputs), 1):
        return "take the last dimension of the labels away: labels.squeeze(1)" + (
            ".long()" if targets.is_floating_point() else ""
        )
    if targets.is_floating_point():
        if targets.shape == outputs.shape:
            return f"several labels at once, or numbers to predict: {own}"
        if _are_whole(targets):
            return "class numbers are whole numbers: labels.long()"
        return f"these are numbers to predict, no classes: {own}"
    if targets.shape == outputs.shape:
        return "the labels are one-hot: make class numbers of them by labels.argmax(1)"
    if outputs.ndim > targets.ndim + 1:
        return "flatten the model's features before its last layer: nn.Flatten(), or x.flatten(1) in forward()"
    return "give one label for each example, or for each place (pixel, word) of one"


def of_scores(layer: nn.Module | None, outputs: Tensor) -> Complaint | None:
    """A model that ends in what the loss does once more."""
    name = type(layer).__name__
    remedy = "let the model end with its last Linear layer: its loss, the cross-entropy, does that itself"
    sums = outputs.detach().float().sum(1)
    if isinstance(layer, nn.Softmax | nn.Softmax2d) or (
        bool((outputs >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
    ):
        return Complaint("the model gives probabilities (softmax), not scores: it will learn slowly", remedy, "warning")
    if isinstance(layer, nn.Sigmoid | nn.ReLU | nn.Tanh):
        return Complaint(f"the model ends in {name}: it will learn slowly, or stop to", remedy, "warning")
    return None


def few(data: Data, train: int, test: int, *, any_kind: bool) -> Data:
    """The data with so many examples at most, where that can be had: of a TensorDataset as another, of other datasets
    as a Subset if `any_kind` may become one."""
    return Data(_few(data.train, train, any_kind=any_kind), _few(data.test, test, any_kind=any_kind))


def _few(dataset: Any, count: int, *, any_kind: bool) -> Any:
    if type(dataset) is TensorDataset:
        return TensorDataset(*(tensor[:count] for tensor in dataset.tensors))
    if dataset is None or not any_kind or isinstance(dataset, IterableDataset) or len(dataset) <= count:
        return dataset
    return Subset(dataset, list(range(count)))


def _remedy_for(part: object) -> str:
    if isinstance(part, DataLoader):
        return "give the dataset itself: the loader's .dataset; batches are made by training.batch_size"
    if isinstance(part, Tensor | np.ndarray):
        return "pair inputs and labels: TensorDataset(inputs, labels)"
    if isinstance(part, tuple) and any(isinstance(each, Tensor | np.ndarray) for each in part):
        return "make one dataset of inputs and labels: TensorDataset(inputs, labels)"
    if type(part).__name__ in ("DataFrame", "Series"):
        return "make tensors of its columns: torch.tensor(frame[...].to_numpy()), then TensorDataset(inputs, labels)"
    if isinstance(part, str | bytes | dict | type(None)) or not hasattr(part, "__getitem__"):
        return "" if isinstance(part, Dataset) else "give a dataset, such as TensorDataset(inputs, labels)"
    return ""


def _are_whole(targets: Tensor) -> bool:
    return bool((targets == targets.round()).all())


def _kind(part: object) -> str:
    return "None" if part is None else f"a {type(part).__name__}"


def _first(dataset: Any) -> object:
    return _column(dataset, 0)


def _second(dataset: Any) -> Tensor | None:
    found = _column(dataset, 1)
    return found if isinstance(found, Tensor) else None


def _column(dataset: Any, number: int) -> object:
    if type(dataset) is TensorDataset:
        return dataset.tensors[number] if len(dataset.tensors) > number else None
    content = first_batch(dataset, _LOOKED_AT)
    return content[number] if isinstance(content, list | tuple) and len(content) > number else None
