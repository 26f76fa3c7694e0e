"""A dataset in batches, as a DataLoader gives them."""

import copy
import operator
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset, default_collate


class Batch(NamedTuple):
    """So many examples, collated: tensors of a first dimension more, in the containers that the examples are in."""

    size: int
    content: Any


class Share(Subset[Any]):
    """A Subset that forwards the dataset's methods, such as its own collating, but not its data attributes, such as its
    targets: these describe all examples."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("dataset", "indices"):  # a copy that is being made has none yet
            raise AttributeError(name)
        found = getattr(self.dataset, name)
        if not callable(found):
            kind = type(self.dataset).__name__
            raise AttributeError(  # noqa: TRY004 - what hasattr() and getattr() expect
                f"{name!r} is that of the whole {kind}, not of a share: see its .dataset and .indices"
            )
        return found


def is_iterable(dataset: object) -> bool:
    """Whether this gives its examples one after the other only."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return isinstance(dataset, IterableDataset)


def batches(dataset: "Dataset[Any]", size: int, generator: torch.Generator | None, skip: int = 0) -> Iterator[Batch]:
    """One pass over the examples, shuffled by `generator` if there is one, without the first `skip` batches.

    The tensors of a TensorDataset are taken a batch at a time. What only descends from one may do more when it is asked
    for an example.

    Raises:
        TypeError: the examples cannot be had by their index, or cannot be collated.
    """
    if is_iterable(dataset):
        raise TypeError(
            "the dataset is an IterableDataset, whose examples have no index: give your task its own train() and "
            "evaluate()"
        )
    examples = len(dataset)  # type: ignore[arg-type]
    chosen = torch.arange(examples) if generator is None else torch.randperm(examples, generator=generator)
    whole, at = underlying(dataset, chosen)
    if type(whole) is TensorDataset:
        for part in torch.split(at, size)[skip:]:
            # Which takes a fifth of the time of tensor[part].
            yield Batch(len(part), [tensor.index_select(0, part.to(tensor.device)) for tensor in whole.tensors])
    else:
        for part in torch.split(chosen, size)[skip:]:
            yield Batch(len(part), default_collate(_fetch(dataset, part.tolist())))


def underlying(dataset: "Dataset[Any]", chosen: Tensor) -> tuple[Any, Tensor]:
    """What this is a share of, maybe of a share of, and the indices there of the examples chosen."""
    whole: Any = dataset
    while type(whole) in (Subset, Share):
        chosen = _whole_numbers(whole.indices)[chosen]
        whole = whole.dataset
    if type(whole) is TensorDataset:
        chosen = torch.where(chosen < 0, chosen + len(whole), chosen)
    return whole, chosen


def _whole_numbers(indices: Any) -> Tensor:
    """Indices in whatever they are given in: an array of numpy may be of any integers, and be reversed."""
    given = indices.tolist() if hasattr(indices, "tolist") else indices
    return torch.tensor([operator.index(index) for index in given], dtype=torch.int64)


def move(inputs: Any, device: torch.device) -> Any:
    """A batch, or a part of it, on the device, in the containers that it is in: a tensor, or something else that has a
    `to`, or these in mappings, lists and tuples, named ones too."""
    if hasattr(inputs, "to"):
        return inputs.to(device)
    if isinstance(inputs, Mapping):
        moved = {name: move(value, device) for name, value in inputs.items()}
        if not isinstance(inputs, MutableMapping):
            return moved
        there = copy.copy(inputs)
        there.update(moved)
        return there
    if isinstance(inputs, list | tuple):
        values = [move(value, device) for value in inputs]
        return type(inputs)(*values) if hasattr(inputs, "_fields") else type(inputs)(values)
    return inputs


def _fetch(dataset: Any, indices: list[int]) -> Any:
    """As a DataLoader does."""
    many = getattr(dataset, "__getitems__", None)
    return many(indices) if many else [dataset[index] for index in indices]
