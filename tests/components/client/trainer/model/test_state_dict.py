import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from components.client.trainer.model import state_dict
from components.client.trainer.model.state_dict import DivergedError
from components.client.trainer.model.travelling_tensors import UnsupportedModelError
from protocol import encodings, messages, tensors
from protocol.encodings import (
    UpdateLayout,
    buffer_range,
    integer_range,
    parameter_range,
    scale_range,
    update_layout,
)
from protocol.messages import Encoding, ModelHeader, Report, Timings


class Everything(nn.Module):
    """One of each kind of state that a model can have."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.tied = nn.Linear(3, 2, bias=False)
        self.tied.weight = self.linear.weight
        self.norm = nn.BatchNorm1d(2)
        self.sixteen = nn.Parameter(torch.randn(5).half())
        self.bits = nn.Parameter(torch.randn(2, 3).bfloat16())
        self.wide = nn.Parameter(torch.randn(2, dtype=torch.float64))
        self.scalar = nn.Parameter(torch.randn(()))
        self.empty = nn.Parameter(torch.zeros(0, 4))
        self.flipped = nn.Parameter(torch.randn(4, 3).t())
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("counts", torch.tensor([1, 2, 3], dtype=torch.int32))
        self.register_buffer("scratch", torch.zeros(3), persistent=False)


def fresh(seed: int) -> Everything:
    torch.manual_seed(seed)
    return Everything()


def loaded(file: bytes) -> tuple[tensors.Header, dict[str, Tensor]]:
    data = bytearray(file)
    header = tensors.parse_header(data, len(data))
    return header, state_dict.views(header, data)


def report() -> Report:
    timings = Timings(accepted_at=1.0, downloaded_at=2.0, trained_at=3.0, uploading_at=4.0, train_s=0.5)
    return Report(
        federation="f", round=1, thing="t", base="0" * 64, encoding="float32", examples=1, steps=1, timings=timings
    )


def test_every_kind_of_tensor_survives_the_journey() -> None:
    sent, received = fresh(0), fresh(1)
    header, values = loaded(state_dict.dump_model(sent, "digits"))
    state_dict.load(received, header, values)
    for name, value in sent.state_dict().items():
        assert torch.equal(received.state_dict()[name], value), name
        assert received.state_dict()[name].dtype == value.dtype
    assert received.tied.weight is received.linear.weight


def test_a_model_file_names_its_buffers() -> None:
    header, _ = loaded(state_dict.dump_model(fresh(0), "digits", 4))
    message = messages.decode(header.message, ModelHeader)
    assert message == ModelHeader(federation="digits", round=4, buffers=("norm.running_mean", "norm.running_var"))
    assert "scratch" not in header.schema


def test_the_same_model_always_gives_the_same_bytes() -> None:
    assert state_dict.dump_model(fresh(0), "digits") == state_dict.dump_model(fresh(0), "digits")


@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8"])
def test_an_update_added_to_the_global_model_is_the_local_one(encoding: Encoding) -> None:
    model = fresh(0)
    header, base = loaded(state_dict.dump_model(model, "digits"))
    layout = update_layout(header, encoding)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.copy_(~value if value.dtype == torch.bool else value + 1)
    file, residual = state_dict.dump_change(state_dict.delta(model, base, layout), layout, report())
    update = tensors.parse_header(file, len(file))
    encodings.check_layout(update, layout)
    data = memoryview(file)[update.length :]
    floats = np.empty(layout.n_float, np.float32)
    count = layout.n_parameters
    values, scales = (data[slice(*where(layout, 0, count))] for where in (parameter_range, scale_range))
    encodings.decode(encoding, values, floats[:count], 0, scales)
    floats[count:] = np.frombuffer(data[slice(*buffer_range(layout, 0, layout.n_float - count))], np.float32)
    assert (residual is None) == (encoding == "float32")
    if residual is not None:
        assert residual.any()
        floats[:count] += residual
    integers = np.frombuffer(data[slice(*integer_range(0, layout.n_int))], np.int64)
    for flat, places in ((floats, layout.floats), (integers, layout.integers)):
        for place in places:
            value = model.state_dict()[place.name]
            difference = torch.from_numpy(flat[place.start : place.stop].copy()).reshape(place.shape)
            total = base[place.name].double() + difference.double()
            torch.testing.assert_close(total, value.double(), rtol=0, atol=1e-6, msg=place.name)
    assert {place.name for place in (*layout.floats, *layout.integers)} == model.state_dict().keys()


def scalar_model(value: float, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, UpdateLayout]:
    model = nn.Module()
    model.weight = nn.Parameter(torch.full((4,), value, dtype=dtype))
    header, _ = loaded(state_dict.dump_model(model, "digits"))
    return model, update_layout(header, "float32")


def test_differences_of_doubles_are_taken_before_they_are_rounded() -> None:
    model, layout = scalar_model(1.0 + 1e-12, torch.float64)
    floats, _ = state_dict.delta(model, {"weight": torch.ones(4, dtype=torch.float64)}, layout)
    assert (floats > 0).all()


@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_is_not_finite_has_diverged(value: float, encoding: Encoding) -> None:
    model = fresh(0)
    header, base = loaded(state_dict.dump_model(model, "digits"))
    with torch.no_grad():
        model.state_dict()["norm.running_mean"][1] = value
    layout = update_layout(header, encoding)
    with pytest.raises(DivergedError, match=r"training diverged: tensor 'norm.running_mean' is not finite"):
        state_dict.dump_change(state_dict.delta(model, base, layout), layout, report())


def test_large_finite_differences_have_not_diverged_unless_their_encoding_cannot_hold_them() -> None:
    model, layout = scalar_model(3.4e38)
    base = {"weight": torch.zeros(4)}
    state_dict.dump_change(state_dict.delta(model, base, layout), layout, report())
    header, _ = loaded(state_dict.dump_model(model, "digits"))
    layout = update_layout(header, "bfloat16")
    with pytest.raises(DivergedError, match=r"tensor 'weight' is not finite in bfloat16"):
        state_dict.dump_change(state_dict.delta(model, base, layout), layout, report())


def test_a_global_model_of_another_kind_is_refused_by_the_tensors_name() -> None:
    header, values = loaded(state_dict.dump_model(nn.Linear(3, 2), "digits"))
    with pytest.raises(tensors.SchemaMismatchError, match="weight"):
        state_dict.load(nn.Linear(4, 2), header, values)


def test_a_model_that_came_in_bfloat16_is_widened_and_the_difference_taken_from_that() -> None:
    sent = nn.Linear(3, 2)
    received = nn.Linear(3, 2)
    header, values = loaded(state_dict.dump_model(sent.bfloat16(), "digits"))
    state_dict.load(received, header, values)
    assert received.weight.dtype == torch.float32
    assert torch.equal(received.weight, sent.weight.float())
    with torch.no_grad():
        received.weight += 2**-20  # far below what bfloat16 can tell
    layout = update_layout(header, "float32")
    floats, _ = state_dict.delta(received, values, layout)
    place = next(place for place in layout.floats if place.name == "weight")
    expected = received.weight.detach() - sent.weight.detach().float()
    assert floats[place.start : place.stop].tolist() == expected.flatten().tolist()
    assert floats[place.start] > 0


def test_other_types_are_not_widened() -> None:
    header, values = loaded(state_dict.dump_model(nn.Linear(3, 2).half(), "digits"))
    with pytest.raises(tensors.SchemaMismatchError, match="not what build_model"):
        state_dict.load(nn.Linear(3, 2), header, values)


def test_a_dtype_that_cannot_travel_is_named() -> None:
    model = nn.Module()
    model.register_buffer("waves", torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(UnsupportedModelError, match=r"'waves' is torch.complex64"):
        state_dict.dump_model(model, "digits")


def test_state_that_is_no_tensor_is_named() -> None:
    class WithExtra(nn.Module):
        def get_extra_state(self) -> dict[str, int]:
            return {"a": 1}

    with pytest.raises(UnsupportedModelError, match="_extra_state"):
        state_dict.schema(WithExtra())


def test_a_model_with_the_name_that_updates_keep_for_themselves_is_refused() -> None:
    model = nn.Linear(3, 2)

    def rename(_module: nn.Module, state: dict[str, Tensor], *_: object) -> None:
        state[encodings.SCALES] = state.pop("weight")

    model.register_state_dict_post_hook(rename)  # type: ignore[no-untyped-call]
    with pytest.raises(UnsupportedModelError, match=r"fedgrass\.\.scales"):
        state_dict.dump_model(model, "digits")


class Normalized(nn.Module):
    """A model with statistics of several dtypes, and constants that are not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.wide = nn.BatchNorm1d(4).double()
        self.register_buffer("mask", torch.tensor([0.0, -math.inf, math.inf]))


def test_an_infinite_constant_does_not_change() -> None:
    model = Normalized()
    header, base = loaded(state_dict.dump_model(model, "digits"))
    layout = update_layout(header, "float32")
    floats, _ = state_dict.delta(model, base, layout)
    assert not floats.any()
    model.state_dict()["mask"][0] = math.inf
    with pytest.raises(DivergedError, match="'mask'"):
        state_dict.dump_change(state_dict.delta(model, base, layout), layout, report())


@pytest.mark.parametrize("value", [torch.inf, -torch.inf])
@pytest.mark.parametrize("now", [1.0, 0.0, torch.nan])
def test_a_buffer_that_was_infinite_and_is_not_any_more_is_to_start_finite(value: float, now: float) -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("least", torch.tensor([1.0, value]))
    file = bytearray(state_dict.dump_model(model, "f"))
    header = tensors.parse_header(file, len(file))
    base = state_dict.views(header, file)
    state_dict.load(model, header, base)
    model.get_buffer("least")[1] = now
    with pytest.raises(DivergedError, match=r"'least' was infinite in the global model, .* start it with finite"):
        state_dict.delta(model, base, update_layout(header, "float32"))


def test_a_variance_of_float64_plus_its_difference_in_float32_is_never_negative() -> None:
    model = Normalized()
    with torch.no_grad():
        model.state_dict()["wide.running_var"].copy_(1 / torch.tensor([3.0, 7.0, 11.0, 0.3], dtype=torch.float64))
    header, base = loaded(state_dict.dump_model(model, "digits"))
    layout = update_layout(header, "int8")
    with torch.no_grad():
        for name in ("wide.running_var", "norm.running_var"):
            model.state_dict()[name].zero_()
    floats, _ = state_dict.delta(model, base, layout)
    for name in ("wide.running_var", "norm.running_var"):
        (place,) = (place for place in layout.floats if place.name == name)
        now = base[name].double() + torch.from_numpy(floats[place.start : place.stop]).double()
        assert (now >= 0).all()
        assert (now < 1e-7).all()
