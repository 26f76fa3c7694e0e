"""`download: bfloat16`: devices download a copy of the model that has half its bytes."""

import msgspec
import numpy as np
import torch
from torch import nn

from cloud.averaging.bfloat16_copy import bfloat16_copy_of
from components.client.trainer.model import state_dict
from protocol import names
from protocol.encodings import update_layout
from protocol.messages import ModelReference
from protocol.tensors import parse_header
from tests.cloud.examples import report, update_of
from tests.cloud.simulated import INITIAL, SimulatedFederation

THINGS = ("d0", "d1")
NUMBERS = 6 << 20


def stored(simulated: SimulatedFederation, reference: ModelReference | None) -> bytes:
    """The bytes of a model or a copy, which have the SHA-256 and the size of their reference."""
    assert reference is not None
    data = simulated.operations.models.get(reference)
    assert len(data) == reference.bytes
    return data


def test_assignments_name_the_copy_and_updates_start_from_it(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, download="bfloat16", rounds=9)
    initial = simulated.current()[0]
    simulated.start()
    assigned = simulated.assignment("d0", 1).model
    assert assigned == initial.copy
    assert assigned.key == names.bfloat16_key(simulated.name, 0, simulated.life)
    assert stored(simulated, assigned) == bfloat16_copy_of(stored(simulated, initial))
    simulated.put("d0", 1, simulated.update("d0", 1, base=initial.sha256))
    assert "wrong base" in simulated.reason("d0", 1)
    for thing in THINGS:
        simulated.answer(thing, 1)
    closed = simulated.ended(1)
    model = closed.model
    assert model is not None
    assert simulated.current()[0] == model
    assert stored(simulated, model.copy) == bfloat16_copy_of(stored(simulated, model))
    second = simulated.assignment("d1", 2)
    assert (second.model, simulated.opened(2).base) == (model.copy, model)


def test_an_update_that_no_copy_could_hold_is_refused_and_the_round_goes_on(simulated: SimulatedFederation) -> None:
    simulated.create((*THINGS, "d2"), download="bfloat16", target=2, rounds=1)
    simulated.start()
    about = simulated.report("d1", 1, base=simulated.assignment("d1", 1).model.sha256)
    huge = {"w": np.full((2, 3), 3.4e38, "<f4"), "s": np.zeros((), "<f4"), "n": np.array(0, "<i8")}
    simulated.put("d1", 1, update_of(huge, about))
    assert simulated.reason("d1", 1).startswith("out of range: tensor 'w' is changed by 3.4e+38")
    for thing in ("d0", "d2"):
        simulated.answer(thing, 1)
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.refused) == ("closed", 2, 1)
    assert np.array_equal(simulated.current()[1]["w"], INITIAL["w"] + 1)


def test_rolling_back_takes_the_copy_back_as_well(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, download="bfloat16", rounds=9)
    initial = simulated.current()[0]
    simulated.start()
    simulated.opened(1)
    simulated.operations.pause(simulated.name)
    for thing in THINGS:
        simulated.answer(thing, 1)
    first = simulated.ended(1).model
    assert simulated.operations.roll_back(simulated.name, 0).model == initial
    assert simulated.operations.roll_back(simulated.name, 1).model == first
    simulated.operations.roll_back(simulated.name, 0)
    simulated.start()
    assert simulated.assignment("d0", 2).model == initial.copy


def test_a_federation_that_does_not_ask_has_no_copy(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=9)
    simulated.start()
    for thing in THINGS:
        simulated.answer(thing, 1)
    model = simulated.ended(1).model
    assert model is not None
    assert b"copy" not in msgspec.json.encode(model)
    written = simulated.aws.client("s3").list_objects_v2(
        Bucket=simulated.deployed.bucket, Prefix=f"federations/{simulated.name}/{simulated.life}/models/"
    )
    assert written["KeyCount"] == 2


def test_several_invocations_write_the_copy_in_parts(simulated: SimulatedFederation) -> None:
    large = {"w": np.linspace(-1, 1, NUMBERS, dtype="<f4")}
    simulated.create(THINGS, large, {"w": "F32"}, download="bfloat16", averaging={"shards": 2}, rounds=9)
    simulated.start()
    for thing in THINGS:
        assigned = simulated.assignment(thing, 1).model
        about = simulated.report(thing, 1, base=assigned.sha256)
        simulated.put(thing, 1, update_of({"w": np.full(NUMBERS, 1e-3, "<f4")}, about))
    closed = simulated.ended(1)
    assert closed.work is not None
    assert closed.model is not None
    copy = stored(simulated, closed.model.copy)
    assert copy == bfloat16_copy_of(stored(simulated, closed.model))
    assert len(copy) < 0.51 * closed.model.bytes


def test_a_device_trains_from_the_widened_values() -> None:
    torch.manual_seed(3)
    model = nn.Linear(5, 3)
    file = bytearray(bfloat16_copy_of(state_dict.dump_model(model, "f")))
    header = parse_header(file, len(file))
    base = state_dict.views(header, file)
    wanted = {name: value.to(torch.bfloat16).float() for name, value in model.state_dict().items()}
    state_dict.load(model, header, base)
    for name, value in model.state_dict().items():
        assert torch.equal(value, wanted[name])
    with torch.no_grad():
        model.weight += 1e-4
    layout = update_layout(header, "float32")
    update, _ = state_dict.dump_change(state_dict.delta(model, base, layout), layout, report())
    made = state_dict.views(parse_header(update, len(update)), bytearray(update))
    assert torch.equal(made["weight"], model.state_dict()["weight"] - wanted["weight"])
    assert not made["bias"].any()
