"""Constants that are infinite, as a mask has them, live through all that happens to a model."""

import pytest
import torch
from torch import nn

from cloud.averager.responses.inspection import inspect
from cloud.averaging.bfloat16_copy import bfloat16_copy_of
from cloud.averaging.new_model import File, NotFiniteModelError
from cloud.settings import Averaging, FedAdam, FedAvgM, FedYogi
from components.client.trainer.model import state_dict
from protocol.encodings import update_layout
from protocol.messages import Encoding, ModelReference
from protocol.names import UpdateName
from protocol.tensors import parse_header
from tests.cloud.averaged import round_of
from tests.cloud.examples import report, round_record

THINGS = ("a", "b", "c")


class Masked(nn.Module):
    """A mask of minus infinity, others in other dtypes, and an infinite weight that nothing trains."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(4))
        self.register_buffer("best", torch.tensor([torch.inf, 1.0], dtype=torch.float16))
        self.register_buffer("wide", torch.tensor([-torch.inf], dtype=torch.float64))
        self.limit = nn.Parameter(torch.tensor([torch.inf, 0.5]), requires_grad=False)


def updates_of(base: bytes, downloaded: bytes, encoding: Encoding, change: float = 0.25) -> list[bytes]:
    """What devices send that have trained the layer."""
    reference = ModelReference(key="k", sha256="0" * 64, bytes=len(base))
    header = parse_header(downloaded, len(downloaded))
    values = state_dict.views(header, bytearray(downloaded))
    layout = update_layout(header, encoding)
    updates = []
    for number, thing in enumerate(THINGS):
        model = Masked()
        state_dict.load(model, header, values)
        with torch.no_grad():
            model.layer.weight += change * (number + 1)
        about = report(thing, base=reference.sha256, encoding=encoding)
        update, _ = state_dict.dump_change(state_dict.delta(model, values, layout), layout, about)
        inspect(update, UpdateName("f", 1, thing), round_record(*THINGS, base=reference), layout)
        updates.append(update)
    return updates


@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize(
    "settings",
    [
        Averaging(),
        Averaging(rule="mean", optimizer=FedAvgM(), ema=0.9),
        Averaging(optimizer=FedAdam(), ema=0.5),
        Averaging(rule="median", optimizer=FedYogi()),
        Averaging(rule="trimmed_mean", trim=0.2),
    ],
)
def test_they_are_still_there_after_two_rounds(settings: Averaging, encoding: Encoding) -> None:
    torch.manual_seed(1)
    first = Masked()
    model = state_dict.dump_model(first, "f")
    before: dict[File, bytes] = {}
    for _ in range(2):
        updates = updates_of(model, bfloat16_copy_of(model), encoding)
        made = round_of(model, updates, settings, elements=10, before=before, has_bfloat16=True).average()
        model, before = made["model"], {file: data for file, data in made.items() if file in ("optimizer", "ema")}
        for file in made.keys() - {"optimizer"}:
            data = bytearray(made[file])
            header = parse_header(data, len(data))
            found = Masked()
            state_dict.load(found, header, state_dict.views(header, data))
            for constant in ("mask", "best", "wide", "limit"):
                assert torch.equal(found.state_dict()[constant], first.state_dict()[constant]), constant
            assert found.layer.weight.isfinite().all()
            assert (found.layer.weight != first.layer.weight).all()


def test_a_number_that_becomes_infinite_is_still_refused() -> None:
    model = state_dict.dump_model(Masked(), "f")
    with pytest.raises(NotFiniteModelError, match=r"'layer\.weight'"):
        updates = updates_of(model, model, "float32", 1e17)
        round_of(model, updates, Averaging(optimizer=FedAvgM(learning_rate=1e22))).average()
