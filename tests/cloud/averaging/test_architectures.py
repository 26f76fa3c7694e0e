"""Real models through all that happens to them, from one global model to the next, beside plain torch arithmetic."""

import copy
import hashlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from cloud.averager.responses.inspection import inspect
from cloud.averaging.bfloat16_copy import bfloat16_copy_of
from cloud.settings import Averaging, FedAvgM
from components.client.trainer.learning import default_training
from components.client.trainer.model import state_dict
from fedgrass.task import Data, Training
from protocol.encodings import BLOCK, Floats, UpdateLayout, update_layout
from protocol.messages import Encoding, ModelReference
from protocol.names import UpdateName
from protocol.tensors import Header, parse_header
from tests.cloud.averaged import round_of
from tests.cloud.examples import report, round_record

if TYPE_CHECKING:
    from cloud.averaging.new_model import File

EXAMPLES = {"a": 3, "b": 5}
SETTINGS = Averaging(optimizer=FedAvgM(learning_rate=0.5, beta=0.5), ema=0.75)
PART_BYTES = 1 << 15


def of_torchvision(name: str) -> nn.Module:
    """For ten classes."""
    from torchvision import models  # not for all to wait for that collect tests

    model: nn.Module = getattr(models, name)(num_classes=10)
    return model


class Transformer(nn.Module):
    """A language model whose last layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(500, 32)
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.last = nn.Linear(32, 500, bias=False)
        self.last.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of the tokens to come."""
        scores: Tensor = self.last(self.encoder(self.embedding(tokens)))
        return scores


class Odd(nn.Module):
    """What no common model has all at once."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Parameter(torch.randn(5, PART_BYTES // 4))
        self.scalar = nn.Parameter(torch.tensor(1.5))
        self.empty = nn.Parameter(torch.empty(0, 3))
        self.sixteen = nn.Parameter(torch.randn(7, 11, dtype=torch.float16))
        self.brain = nn.Parameter(torch.randn(300, 301).to(torch.bfloat16))
        self.sixty_four = nn.Parameter(torch.randn(5, dtype=torch.float64))
        self.register_buffer("mean", torch.randn(13))
        self.register_buffer("mask", torch.tensor([True, False, True]))
        self.register_buffer("count", torch.tensor(7, dtype=torch.int32))


ENCODINGS: list[Encoding] = ["float32", "bfloat16", "int8"]
OF_ALL_SIZES: list[tuple[str, Callable[[], nn.Module], int, list[Encoding]]] = [
    ("MobileNetV3-small", lambda: of_torchvision("mobilenet_v3_small"), 1, ENCODINGS),
    ("ResNet-18", lambda: of_torchvision("resnet18"), 1, ["bfloat16"]),
    ("tied transformer", Transformer, 2, ENCODINGS),
    ("odd", Odd, 2, ENCODINGS),
]
"""Names, how to build one, and in how many rounds and which encodings: the large ones in few, which is quick."""
MODELS = [
    pytest.param(build, rounds, encoding, id=f"{name}-{encoding}")
    for name, build, rounds, encodings in OF_ALL_SIZES
    for encoding in encodings
]


def train(model: nn.Module, generator: torch.Generator) -> None:
    """Changes each parameter and each buffer by something."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator).to(parameter.dtype))
        for buffer in model.buffers():
            if buffer.dtype == torch.bool:
                buffer.logical_not_()
            elif buffer.is_floating_point():
                buffer.mul_(0.9).add_(0.1)
            else:
                buffer.add_(int(torch.randint(1, 9, (), generator=generator)))


def sent(due: Tensor, encoding: Encoding) -> Tensor:
    """What arrives of differences, by plain torch: float32."""
    if encoding == "bfloat16":
        return due.to(torch.bfloat16).float()
    if encoding == "int8":
        blocks = nn.functional.pad(due, (0, -len(due) % BLOCK)).reshape(-1, BLOCK)
        scales = blocks.abs().amax(1, keepdim=True) / 127
        multiples = (blocks / scales.where(scales > 0, torch.ones(()))).round().clamp(-127, 127)
        return (multiples * scales).flatten()[: len(due)]
    return due


def by_tensor(layout: UpdateLayout, flat: Tensor) -> Iterator[tuple[str, Tensor]]:
    for place in layout.floats:
        yield place.name, flat[place.start : place.stop].reshape(place.shape)


@pytest.mark.parametrize(("build", "rounds", "encoding"), MODELS)
def test_rounds_are_what_torch_makes_of_them(build: Callable[[], nn.Module], rounds: int, encoding: Encoding) -> None:
    torch.manual_seed(7)
    generator = torch.Generator().manual_seed(8)
    initial, model = build(), build()
    base = state_dict.dump_model(initial, "f")
    part_bytes = max(PART_BYTES, len(base) // 7)
    weights = {thing: count / sum(EXAMPLES.values()) for thing, count in EXAMPLES.items()}
    residuals: dict[str, Floats | None] = dict.fromkeys(EXAMPLES)
    unsent = {thing: torch.zeros(()) for thing in EXAMPLES}
    expected = copy.deepcopy(initial.state_dict())
    average = copy.deepcopy(expected)
    momentum = {name: torch.zeros(value.shape, dtype=torch.float64) for name, value in expected.items()}
    before: dict[File, bytes] = {}

    for _ in range(rounds):
        header = parse_header(base, len(base))
        layout = update_layout(header, encoding)
        reference = ModelReference(key="k", sha256=hashlib.sha256(base).hexdigest(), bytes=len(base))
        record = round_record(*EXAMPLES, base=reference)
        updates, change = [], torch.zeros(layout.n_float, dtype=torch.float64)
        counts = {place.name: torch.zeros(place.shape, dtype=torch.float64) for place in layout.integers}
        for thing, examples in EXAMPLES.items():
            values = state_dict.views(header, bytearray(base))
            state_dict.load(model, header, values)
            train(model, generator)
            about = report(thing, base=reference.sha256, encoding=encoding, examples=examples)
            difference = state_dict.delta(model, values, layout)
            update, residuals[thing] = state_dict.dump_change(difference, layout, about, residuals[thing])
            inspect(update, UpdateName("f", 1, thing), record, layout)
            updates.append(update)
            now = model.state_dict()
            parts = [(now[p.name].double() - values[p.name].double()).float().flatten() for p in layout.floats]
            due, of_buffers = torch.cat(parts).tensor_split([layout.n_parameters])
            due = due + unsent[thing]
            arrived = sent(due, encoding)
            unsent[thing] = due - arrived
            change += weights[thing] * torch.cat([arrived, of_buffers]).double()
            for name, count in counts.items():
                count += weights[thing] * (now[name].double() - values[name].double())

        averaged = round_of(
            base,
            updates,
            SETTINGS,
            elements=max(50_000, len(base) // 30),
            part_bytes=part_bytes,
            before=before,
            has_bfloat16=True,
        )
        assert len(averaged.grid.parts) > 2
        made = averaged.average(3)
        assert rounds == 1 or made == averaged.average(2, summed=True)

        buffers = set(state_dict.buffers(initial))
        for name, by in by_tensor(layout, change):
            step = by
            if name not in buffers:
                momentum[name] = SETTINGS.optimizer.beta * momentum[name] + by  # type: ignore[union-attr]
                step = SETTINGS.optimizer.learning_rate * momentum[name]
            expected[name] = (expected[name].double() + step).to(expected[name].dtype)
        for name, count in counts.items():
            value = expected[name]
            is_bool = value.dtype == torch.bool
            expected[name] = value.double() + count > 0.5 if is_bool else value + count.round().to(value.dtype)
        for name, value in expected.items():
            if value.is_floating_point():
                mixed = SETTINGS.ema * average[name].double() + (1 - SETTINGS.ema) * value.double()
                average[name] = mixed.to(value.dtype)
            else:
                average[name] = value
        for file, wanted in (("model", expected), ("ema", average)):
            data = made[file]  # type: ignore[index]
            new = parse_header(data, len(data))
            tensors = state_dict.views(new, bytearray(data))
            check(tensors, wanted)
            state_dict.load(model, new, tensors)
        assert made["bfloat16"] == bfloat16_copy_of(made["model"])
        base = made["model"]
        before = {"optimizer": made["optimizer"], "ema": made["ema"]}


def check(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Passes if all are the same, but for the last bit of what is rounded."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        precision = torch.finfo(value.dtype).eps if value.is_floating_point() else 0.0
        precision = max(precision, 1e-6) if precision else 0.0
        torch.testing.assert_close(found[name], value, rtol=2 * precision, atol=precision, msg=name)


def test_tied_weights_stay_tied() -> None:
    torch.manual_seed(7)
    model = Transformer()
    base = state_dict.dump_model(model, "f")
    header = parse_header(base, len(base))
    values = state_dict.views(header, bytearray(base))
    layout = update_layout(header, "float32")
    updates = []
    for thing in EXAMPLES:
        state_dict.load(model, header, values)
        nn.functional.cross_entropy(model(torch.arange(64).reshape(4, 16)).flatten(0, 1), torch.arange(64)).backward()  # type: ignore[no-untyped-call]
        torch.optim.SGD(model.parameters(), 0.5).step()
        updates.append(state_dict.dump_change(state_dict.delta(model, values, layout), layout, report(thing))[0])
    made = round_of(base, updates, SETTINGS, part_bytes=PART_BYTES).average(2)["model"]
    new = parse_header(made, len(made))
    tied = state_dict.views(new, bytearray(made))
    assert torch.equal(tied["embedding.weight"], tied["last.weight"])
    assert not torch.equal(tied["last.weight"], values["last.weight"])


def loaded(file: bytes) -> tuple[Header, dict[str, Tensor]]:
    header = parse_header(file, len(file))
    return header, state_dict.views(header, bytearray(file))


@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8"])
def test_thirty_rounds_of_features_of_different_size_leave_variances_as_they_were_measured(encoding: Encoding) -> None:
    """In one block of int8 with its neighbours, the smallest of these variances would be sent in steps larger than it
    is."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 4) * torch.tensor([300.0, 1.0, 0.1, 0.01]) + torch.tensor([1000.0, 20.0, 0.5, 0.0])
    dataset = TensorDataset(inputs, (inputs[:, 1] > 20).long())
    data = Data(train=dataset, test=dataset)
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
    file, residual = state_dict.dump_model(model, "digits"), None
    for number in range(1, 31):
        header, base = loaded(file)
        state_dict.load(model, header, base)
        settings = Training(batch_size=32, learning_rate=0.05, epochs=1, seed=number)
        default_training.train(model, data, settings)
        layout = update_layout(header, encoding)
        about = report(encoding=encoding)
        update, residual = state_dict.dump_change(state_dict.delta(model, base, layout), layout, about, residual)
        file = round_of(file, [update]).average()["model"]
        _, new = loaded(file)
        for name in ("0.running_mean", "0.running_var"):
            change = (model.state_dict()[name] - base[name]).double()
            assert torch.equal(new[name], (base[name].double() + change).float())
        assert (new["0.running_var"] > 0).all()
        assert new["0.num_batches_tracked"] == 8 * number
        state_dict.load(model, *loaded(file))
        assert math.isfinite(default_training.evaluate(model, data)["loss"])
