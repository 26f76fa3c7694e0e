from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

from components.client.trainer.learning.local_data import hold_out
from fedgrass.task import Client, Data

CLIENT = Client(thing="t", federation="f")
DATA = Data(TensorDataset(torch.arange(50.0), torch.zeros(50)))


def inputs(data: Data) -> tuple[list[float], list[float]]:
    def of(dataset: object) -> Iterator[float]:
        for index in range(len(dataset)):  # type: ignore[arg-type]
            yield dataset[index][0].item()  # type: ignore[index]

    return list(of(data.train)), list(of(data.test))


def test_a_share_is_held_out_and_nothing_is_in_both() -> None:
    train, test = inputs(hold_out(DATA, 0.1, CLIENT))
    assert (len(train), len(test)) == (45, 5)
    assert sorted(train + test) == list(range(50))


def test_it_is_always_the_same_share_of_the_same_device_and_another_one_of_another() -> None:
    torch.manual_seed(1)
    first = inputs(hold_out(DATA, 0.1, CLIENT))
    torch.manual_seed(2)
    assert inputs(hold_out(DATA, 0.1, CLIENT)) == first
    assert inputs(hold_out(DATA, 0.1, Client(thing="u", federation="f"))) != first


@pytest.mark.parametrize(
    ("data", "share"),
    [
        (DATA, 0.0),
        (Data(DATA.train, TensorDataset(torch.zeros(2), torch.zeros(2))), 0.1),
        (Data(TensorDataset(torch.zeros(1), torch.zeros(1))), 0.5),
    ],
)
def test_nothing_is_held_out_unless_it_is_asked_for_and_there_is_no_test_set(data: Data, share: float) -> None:
    assert hold_out(data, share, CLIENT) is data


def test_at_least_one_example_is_held_out(tmp_path: Path) -> None:
    assert len(inputs(hold_out(DATA, 0.001, CLIENT))[1]) == 1
