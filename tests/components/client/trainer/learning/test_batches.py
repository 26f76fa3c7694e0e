"""What the default training gets of a dataset: what a DataLoader would give."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from components.client.trainer.learning import default_training
from components.client.trainer.learning.batches import Share, batches, move
from components.client.trainer.learning.local_data import DataError, hold_out
from fedgrass.task import Client, Data

CLIENT = Client(thing="t", federation="f")


def plain(examples: int = 20) -> TensorDataset:
    return TensorDataset(torch.arange(examples * 2.0).reshape(examples, 2), torch.arange(examples))


class Normalized(TensorDataset):
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, target = super().__getitem__(index)  # type: ignore[no-untyped-call]
        return inputs / 50 - 1, target


class OfOne(TensorDataset):
    """Its tensors are not what its examples are."""

    def __init__(self) -> None:
        super().__init__(torch.arange(20.0))

    def __getitem__(self, index: int) -> Any:
        return torch.ones(2) * self.tensors[0][index], index

    def collate(self, examples: list[Any]) -> str:
        return f"{len(examples)} examples"


class Transformed(Subset[Any]):
    def __getitem__(self, index: Any) -> Any:
        inputs, target = self.dataset[self.indices[index]]
        return inputs * 2, target

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [self[index] for index in indices]


class Together(Dataset[Any]):
    """Gives many examples at once, and in another way than one."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("one at a time")

    def __getitems__(self, indices: list[int]) -> Any:
        return [(torch.tensor([index, 0.5]), index) for index in indices]


DATASETS: list[Callable[[], Any]] = [
    plain,
    lambda: Normalized(*plain().tensors),
    OfOne,
    Together,
    lambda: Transformed(plain(), range(20)),
    lambda: Subset(plain(), range(19, -1, -1)),
    lambda: Subset(Subset(plain(40), range(0, 40, 2)), list(range(20))),
    lambda: Subset(Normalized(*plain().tensors), range(20)),
    lambda: Subset(Transformed(plain(40), range(10, 40)), range(20)),
    lambda: Subset(Together(), torch.arange(20).tolist()),
    lambda: Transformed(Subset(Normalized(*plain().tensors), range(20)), range(20)),
    lambda: ConcatDataset([plain(5), Normalized(*plain(15).tensors)]),
    lambda: [(torch.ones(2) * i, i) for i in range(20)],
    lambda: [({"a": torch.ones(2) * i, "b": i}, i) for i in range(20)],
]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return torch.equal(one, other) and one.dtype == other.dtype


@pytest.mark.parametrize("make", DATASETS)
def test_a_dataset_gives_what_a_data_loader_gives(make: Callable[[], Any]) -> None:
    expected = list(DataLoader(make(), 8))
    found = [batch.content for batch in batches(make(), 8, None)]
    assert len(found) == len(expected) == 3
    assert all(same(a, x) and same(b, y) for (a, b), (x, y) in zip(found, expected, strict=True))


@pytest.mark.parametrize("make", DATASETS)
def test_what_is_held_out_of_a_dataset_is_still_its_own(make: Callable[[], Any]) -> None:
    data = hold_out(Data(make()), 0.25, CLIENT)
    assert isinstance(data.test, Share)
    assert (data.examples, len(data.test)) == (15, 5)
    parts = [next(batches(part, 20, None)).content for part in (data.train, data.test)]
    loaded = [next(iter(DataLoader(part, 20))) for part in (data.train, data.test)]
    assert all(same(a[0], x[0]) and same(a[1], x[1]) for a, x in zip(parts, loaded, strict=True))
    whole = next(iter(DataLoader(make(), 20)))[1].tolist()
    assert sorted([*parts[0][1].tolist(), *parts[1][1].tolist()]) == sorted(whole)


def test_a_share_can_do_what_its_dataset_can_but_has_not_what_that_has() -> None:
    share: Any = hold_out(Data(OfOne()), 0.25, CLIENT).train
    for one in (share, copy.deepcopy(share)):
        assert list(DataLoader(one, 15, collate_fn=one.collate)) == ["15 examples"]
        with pytest.raises(AttributeError, match="'tensors' is that of the whole OfOne"):
            _ = one.tensors
        assert not hasattr(one, "collect")


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(plain())

    def __len__(self) -> int:
        return 20


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Stream(), "IterableDataset, whose examples have no index"),
        (Subset(Stream(), [0]), "IterableDataset, whose examples have no index"),
        (TensorDataset(torch.ones(3)), "an example of the dataset is 1 parts: .* own train"),
        (TensorDataset(*[torch.ones(3)] * 3), "an example of the dataset is 3 parts"),
        ([{"inputs": torch.ones(2), "labels": 1}], "an example of the dataset is dict"),
        ([torch.ones(2)], "an example of the dataset is Tensor"),
        ([(torch.ones(2), "cat")], "targets are (list|tuple), no tensor"),
    ],
)
def test_what_has_no_pairs_of_input_and_target_is_told_plainly(dataset: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        default_training.evaluate(nn.Linear(2, 2), Data(dataset, dataset))


def test_no_share_is_held_out_of_a_stream() -> None:
    with pytest.raises(DataError, match=r"held_out is 0.1, but the training set is an IterableDataset"):
        hold_out(Data(Stream()), 0.1, CLIENT)
    data = Data(Stream(), plain())
    assert hold_out(data, 0.1, CLIENT) is data


class Pair(NamedTuple):
    sound: Tensor
    lengths: Any


class Packed:
    """As a tokenizer's or a packed sequence's: no container, but it can be moved."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def to(self, device: torch.device) -> "Packed":
        return Packed(self.values.to(device))


def test_inputs_are_moved_in_the_containers_that_they_are_in() -> None:
    there, ones = torch.device("meta"), torch.ones(2)
    moved = move(Pair(ones, {"deep": (ones, [ones], "text")}), there)
    assert isinstance(moved, Pair)
    assert moved.sound.device == there
    ((first, (second,), text),) = moved.lengths.values()
    assert (first.device, second.device, text) == (there, there, "text")
    ordered = move(OrderedDict(b=ones, a=ones), there)
    assert type(ordered) is OrderedDict
    assert list(ordered) == ["b", "a"]
    assert move(MappingProxyType({"a": ones}), there)["a"].device == there
    assert move(Packed(ones), there).values.device == there
    assert ones.device == torch.device("cpu")


@pytest.mark.parametrize(
    "indices",
    [
        np.arange(20)[::-1],
        *(np.arange(20)[3:15].astype(kind) for kind in ("u1", "i1", "i2", "u2", "i4", "u4", "u8", ">i8", object)),
        torch.arange(20, dtype=torch.uint8),
        torch.arange(20).flip(0),
        range(19, 0, -2),
        (4, -1, 0),
        [np.int64(3), np.uint8(1), True, torch.tensor(7)],
        list(torch.arange(5)),
        np.flatnonzero(np.arange(20) % 3 == 0),
    ],
)
@pytest.mark.parametrize("kind", [Subset, Share])
def test_a_subset_may_have_its_indices_in_whatever_holds_whole_numbers(kind: Any, indices: Any) -> None:
    wanted = [int(index) % 20 for index in indices]
    found = [target for batch in batches(kind(plain(), indices), 8, None) for target in batch.content[1].tolist()]
    assert found == wanted


def test_indices_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        next(batches(Subset(plain(), [0.0, 1.5]), 8, None))  # type: ignore[list-item]
