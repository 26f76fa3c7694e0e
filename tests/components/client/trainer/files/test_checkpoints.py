from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from components.client.trainer.files.checkpoints import Checkpoints
from components.client.trainer.files.round_files import CHECKPOINT, Belonging, RoundFiles
from components.client.trainer.interruptions import StoppedError
from components.client.trainer.model.travelling_tensors import UnsupportedModelError, outside_state_dict
from fedgrass.task import Training, use_checkpoints

BELONGING = Belonging(
    federation="digits",
    thing="t",
    round=1,
    model="a" * 64,
    task="b" * 64,
    training=Training(batch_size=8, learning_rate=0.1, epochs=2),
    encoding="float32",
    component="0.1.0",
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


Process = Callable[..., Checkpoints]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def process(tmp_path: Path, clock: Clock) -> Process:
    """Each is that of another process of the same round."""

    def new(examples: int = 10, steps: int = 0, interval_s: float = 0.0) -> Checkpoints:
        files = RoundFiles(tmp_path / "round", BELONGING)
        return Checkpoints(files, examples, steps=steps, interval_s=interval_s, clock=clock)

    return new


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    use_checkpoints(None)


def model_of(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2).bfloat16())
    model.register_buffer("mask", torch.rand(5) > 0.5)
    return model


def test_what_was_saved_comes_back_bit_by_bit_with_the_states_of_the_generators(process: Process) -> None:
    before, saved = process(), model_of(1)
    before.begin({"loss": 2.0}, 7.0)
    own = {"momentum": torch.randn(3), "order": torch.get_rng_state(), "half": torch.randn(2).bfloat16()}
    before.save(saved, {"epoch": 3, "note": "x", "nothing": None, "rate": 0.1}, own)
    expected = torch.randn(4)

    after, model = process(), model_of(2)
    found = after.find()
    assert found is not None
    assert (found.before, found.downloaded_at) == ({"loss": 2.0}, 7.0)
    checkpoint = after.resume(model)
    assert checkpoint is not None
    assert torch.equal(torch.randn(4), expected)
    assert checkpoint.values == {"epoch": 3, "note": "x", "nothing": None, "rate": 0.1}
    assert {name: value.dtype for name, value in checkpoint.tensors.items()} == {n: v.dtype for n, v in own.items()}
    assert all(torch.equal(checkpoint.tensors[name], value) for name, value in own.items())
    assert all(torch.equal(value, saved.state_dict()[name]) for name, value in model.state_dict().items())


class Copies(nn.Linear):
    """As an adapter that gives copies of its tensors, under other names."""

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:  # type: ignore[override]
        return {f"net.{name}": value.clone() for name, value in super().state_dict(*args, **kwargs).items()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        return super().load_state_dict({name[4:]: value for name, value in state_dict.items()}, strict, assign)


class Deaf(Copies):
    """Loads nothing."""

    def load_state_dict(self, *_: Any, **__: Any) -> Any:
        return None


def test_a_model_goes_on_by_its_own_load_state_dict_or_says_which_tensor_does_not(process: Process) -> None:
    saved = Copies(3, 4)
    process().save(saved, {}, {})
    for model in (Copies(3, 4), Deaf(3, 4)):
        after = process()
        assert after.find() is not None
        if isinstance(model, Deaf):
            with pytest.raises(UnsupportedModelError, match=r"tensor 'net.bias' is not what was loaded"):
                after.resume(model)
        else:
            assert after.resume(model) is not None
            assert torch.equal(model.weight, saved.weight)


class Personal(nn.Module):
    """A body that travels in half as many bytes, a head that stays, and buffers that are no part of its state."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
        self.register_buffer("momentum", torch.rand(4), persistent=False)
        self.register_buffer("angles", None, persistent=False)
        self.register_buffer("seen", torch.zeros(0), persistent=False)
        self.register_buffer("mask", torch.zeros(1).expand(4), persistent=False)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:  # type: ignore[override]
        found = super().state_dict(*args, **kwargs)
        return {name: value.half() for name, value in found.items() if name.startswith("body")}


def test_what_is_no_part_of_the_state_or_a_copy_in_it_comes_back_bit_by_bit(process: Process) -> None:
    saved, model = Personal(), Personal()
    saved.angles, saved.seen = torch.rand(2), torch.rand(5)
    before = process()
    before.begin({}, 0.0)
    before.save(saved, {}, {})
    after = process()
    assert after.find() is not None
    assert after.resume(model) is not None
    expected = dict([*saved.named_parameters(), *saved.named_buffers()])
    found = dict([*model.named_parameters(), *model.named_buffers()])
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_a_tensor_that_the_state_gives_is_saved_once() -> None:
    assert outside_state_dict(model_of(1)) == {}


def test_a_checkpoint_of_a_model_with_other_tensors_outside_of_its_state_is_dropped(process: Process) -> None:
    before = process()
    before.begin({}, 0.0)
    before.save(Personal(), {}, {})
    after, other = process(), Personal()
    other.head = nn.Linear(4, 3)
    weight = other.head.weight.clone()
    assert after.find() is not None
    assert after.resume(other) is None
    assert torch.equal(other.head.weight, weight)


def test_training_that_begins_has_nothing_to_resume(process: Process) -> None:
    checkpoints = process()
    assert checkpoints.find() is None
    assert checkpoints.resume(model_of(1)) is None


def test_a_checkpoint_of_other_data_or_of_another_model_is_dropped(process: Process, tmp_path: Path) -> None:
    process().save(model_of(1), {}, {})
    assert process(examples=11).find() is None
    assert not (tmp_path / "round" / CHECKPOINT).exists()
    process().save(model_of(1), {}, {})
    other = process()
    assert other.find() is not None
    assert other.resume(nn.Linear(3, 4)) is None
    assert not (tmp_path / "round" / CHECKPOINT).exists()


def test_checkpoints_are_due_at_the_end_of_epochs_or_each_few_steps_but_not_too_often(
    process: Process, clock: Clock
) -> None:
    by_epoch, by_steps, rare = process(), process(steps=4), process(steps=1, interval_s=10.0)
    assert (by_epoch.due(4, epoch_ended=False), by_epoch.due(5, epoch_ended=True)) == (False, True)
    assert (by_steps.due(4, epoch_ended=False), by_steps.due(5, epoch_ended=True)) == (True, False)
    assert not rare.due(1, epoch_ended=False)
    clock.now += 10
    assert rare.due(1, epoch_ended=False)
    rare.save(model_of(1), {}, {})
    assert not rare.due(2, epoch_ended=False)


def test_training_that_knows_checkpoints_stops_with_one(process: Process, tmp_path: Path) -> None:
    checkpoints = process(interval_s=1e9)
    assert not checkpoints.stop()
    assert not checkpoints.stopping
    checkpoints.resume(model_of(1))
    assert checkpoints.stop()
    assert checkpoints.due(3, epoch_ended=False)
    with pytest.raises(StoppedError):
        checkpoints.save(model_of(1), {}, {})
    assert (tmp_path / "round" / CHECKPOINT).exists()


def test_the_time_of_training_is_that_of_all_processes(process: Process, clock: Clock) -> None:
    first = process()
    first.begin({}, 0.0)
    clock.now += 5
    first.save(model_of(1), {}, {})
    clock.now += 100  # the power is away
    second = process()
    second.find()
    second.begin({}, 0.0)
    second.resume(model_of(1))
    clock.now += 2
    second.end()
    clock.now += 50
    assert second.train_s == 7
