import copy
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset, TensorDataset

from components.client.trainer.learning import default_training
from components.client.trainer.local_update import local_seed
from components.client.trainer.model.state_dict import DivergedError
from fedgrass.task import Checkpoint, Data, Training, Value, listen_to_progress, use_checkpoints
from protocol.local_steps import count_steps

SETTINGS = Training(batch_size=16, learning_rate=0.1, epochs=2, seed=3)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    use_checkpoints(None)


class Examples(Dataset[tuple[Tensor, Tensor]]):
    """The same examples, one by one."""

    def __init__(self, dataset: TensorDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, target = self._dataset[index]
        return inputs, target


def make_data(examples: int = 203) -> Data:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(examples + 50, 6, generator=generator)
    targets = (inputs[:, 0] > inputs[:, 1]).long()
    return Data(
        TensorDataset(inputs[:examples], targets[:examples]), TensorDataset(inputs[examples:], targets[examples:])
    )


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def train(**changes: object) -> tuple[Tensor, dict[str, float]]:
    model = make_model()
    metrics = default_training.train(model, make_data(), msgspec.structs.replace(SETTINGS, **changes))
    return weights(model), metrics


def test_it_learns() -> None:
    model, data = make_model(), make_data()
    before = default_training.evaluate(model, data)
    metrics = default_training.train(model, data, msgspec.structs.replace(SETTINGS, epochs=20))
    after = default_training.evaluate(model, data)
    assert after["loss"] < before["loss"] / 2
    assert after["accuracy"] > 0.9
    assert metrics["loss"] < before["loss"]


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not() -> None:
    assert torch.equal(train()[0], train()[0])
    assert not torch.equal(train()[0], train(seed=4)[0])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
@pytest.mark.parametrize("proximal", [0.0, 2.0])
@pytest.mark.parametrize("clip_norm", [None, 0.05, 0.3, 100.0])
def test_a_step_is_that_of_torch_with_fedproxs_term_in_the_loss_and_clipped_gradients(
    momentum: float, weight_decay: float, proximal: float, clip_norm: float | None
) -> None:
    data = make_data(64)
    model = make_model()
    reference, anchor = copy.deepcopy(model), weights(model)
    settings = Training(
        batch_size=64,
        learning_rate=0.1,
        momentum=momentum,
        weight_decay=weight_decay,
        proximal=proximal,
        clip_norm=clip_norm,
        steps=5,
    )
    default_training.train(model, data, settings)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=momentum, weight_decay=weight_decay)
    assert isinstance(data.train, TensorDataset)
    inputs, targets = data.train.tensors
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(reference(inputs), targets)
        distance = sum(
            ((parameter - part.view_as(parameter)) ** 2).sum()
            for parameter, part in zip(
                reference.parameters(),
                torch.split(anchor, [parameter.numel() for parameter in reference.parameters()]),
                strict=True,
            )
        )
        (loss + proximal / 2 * distance).backward()  # type: ignore[no-untyped-call]
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(reference.parameters(), clip_norm)
        optimizer.step()
    torch.testing.assert_close(weights(model), weights(reference))


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"epochs": 1}, 13),
        ({"epochs": 3}, 39),
        ({"epochs": None, "steps": 5}, 5),
        ({"epochs": None, "steps": 30}, 30),
        ({"epochs": 1, "steps": 30}, 13),
        ({"epochs": 2, "steps": 15}, 15),
        ({"epochs": None, "steps": None}, 13),
    ],
)
def test_it_stops_after_epochs_or_steps_whichever_comes_first(changes: dict[str, int | None], steps: int) -> None:
    assert train(**changes)[1]["steps"] == steps
    assert count_steps(msgspec.structs.replace(SETTINGS, **changes), 203) == steps


def test_a_dataset_without_tensors_gives_the_same_as_one_with() -> None:
    data = make_data()
    assert isinstance(data.train, TensorDataset)
    assert isinstance(data.test, TensorDataset)
    slow = Data(Examples(data.train), Examples(data.test))
    model = make_model()
    assert default_training.evaluate(model, slow) == pytest.approx(default_training.evaluate(model, data))
    default_training.train(model, slow, msgspec.structs.replace(SETTINGS, epochs=20))
    assert default_training.evaluate(model, slow)["accuracy"] > 0.9


class Parts(Dataset[tuple[dict[str, Tensor], Tensor]]):
    """The same examples, whose inputs come in two parts."""

    def __init__(self, dataset: TensorDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        inputs, target = self._dataset[index]
        return {"first": inputs[:2], "rest": inputs[2:]}, target


class Joined(nn.Module):
    """Takes inputs in two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.model = make_model()

    def forward(self, parts: dict[str, Tensor]) -> Tensor:
        result: Tensor = self.model(torch.cat([parts["first"], parts["rest"]], 1))
        return result


def test_inputs_may_be_tensors_by_name() -> None:
    data, expected, model = make_data(), make_model(), Joined()
    assert isinstance(data.train, TensorDataset)
    assert isinstance(data.test, TensorDataset)
    parts = Data(Parts(data.train), Parts(data.test))
    default_training.validate(model, parts)
    default_training.train(expected, Data(Examples(data.train)), SETTINGS)
    default_training.train(model, parts, SETTINGS)
    assert torch.equal(weights(model), weights(expected))
    assert default_training.evaluate(model, parts) == default_training.evaluate(expected, data)


def test_batch_normalization_trains_though_one_example_is_left_for_the_last_batch() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    assert default_training.train(model, make_data(33), SETTINGS)["steps"] == 4


def test_frozen_parameters_stay() -> None:
    model = make_model()
    frozen = next(model.parameters())
    frozen.requires_grad = False
    before = frozen.clone()
    default_training.train(model, make_data(), SETTINGS)
    assert torch.equal(frozen, before)


class PowerCut(BaseException):
    """The power goes."""


class Disk:
    """Keeps the checkpoint of each `every`-th step, or of each epoch; the power goes with the `last`-th of them."""

    def __init__(self, every: int, last: int) -> None:
        self._every = every
        self._left = last
        self.model: nn.Module | None = None
        self.saved: Checkpoint | None = None

    def resume(self, model: nn.Module) -> Checkpoint | None:
        if self.model is not None:
            model.load_state_dict(self.model.state_dict())
        return self.saved

    def due(self, step: int, *, epoch_ended: bool) -> bool:
        return step % self._every == 0 if self._every else epoch_ended

    def save(self, model: nn.Module, values: Mapping[str, Value], own: Mapping[str, Tensor]) -> None:
        self.model = copy.deepcopy(model)
        self.saved = Checkpoint({name: value.clone() for name, value in own.items()}, dict(values))
        self._left -= 1
        if self._left == 0:
            raise PowerCut


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("every", [0, 1, 5, 13])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"momentum": 0.9},
        {"proximal": 0.5, "momentum": 0.5},
        {"epochs": None, "steps": 45},
        {"momentum": 0.9, "weight_decay": 0.1, "clip_norm": 0.2},
        {"logit_calibration": 1.0},
    ],
)
def test_training_that_was_cut_off_goes_on_with_the_same_bits(changes: dict[str, Any], every: int, slow: bool) -> None:
    data = make_data()
    if slow:
        assert isinstance(data.train, TensorDataset)
        data = Data(Examples(data.train))
    settings = msgspec.structs.replace(SETTINGS, **{"epochs": 4} | changes)
    expected, model, resumed = make_model(), make_model(), make_model()
    metrics = default_training.train(expected, data, settings)
    disk = Disk(every, last=2)
    use_checkpoints(disk)
    with pytest.raises(PowerCut):
        default_training.train(model, data, settings)
    assert default_training.train(resumed, data, settings) == metrics
    assert torch.equal(weights(resumed), weights(expected))


def test_a_loss_that_is_no_number_ends_training_and_is_named() -> None:
    with pytest.raises(DivergedError, match="the loss is nan in epoch 1, at step 13"):
        train(learning_rate=1e30)


def test_a_part_of_a_tensor_dataset_is_as_good_as_one_of_its_own() -> None:
    data = make_data()
    assert isinstance(data.train, TensorDataset)
    inputs, targets = data.train.tensors
    parts = Data(Subset(data.train, range(10, 60)), Subset(data.train, [5, 3]))
    whole = Data(TensorDataset(inputs[10:60], targets[10:60]), TensorDataset(inputs[[5, 3]], targets[[5, 3]]))
    first, second = make_model(), make_model()
    assert default_training.train(first, parts, SETTINGS) == default_training.train(second, whole, SETTINGS)
    assert torch.equal(weights(first), weights(second))
    assert default_training.evaluate(first, parts) == default_training.evaluate(second, whole)


def test_progress_is_told_after_each_epoch() -> None:
    told: list[tuple[int | None, int | None, int | None]] = []
    listen_to_progress(lambda epoch, epochs, step: told.append((epoch, epochs, step)))
    train()
    assert told == [(1, 2, 13), (2, 2, 26)]


def test_targets_that_are_no_classes_are_refused_with_what_to_do() -> None:
    data = Data(TensorDataset(torch.randn(4, 6), torch.randn(4, 2)))
    with pytest.raises(TypeError, match="own train"):
        default_training.train(make_model(), data, SETTINGS)


def test_each_client_and_each_round_shuffles_differently() -> None:
    seeds = {local_seed(1, 1, "a"), local_seed(1, 1, "b"), local_seed(1, 2, "a"), local_seed(2, 1, "a")}
    assert len(seeds) == 4
    assert local_seed(1, 1, "a") == local_seed(1, 1, "a")
    assert all(0 <= seed < 2**63 for seed in seeds)
