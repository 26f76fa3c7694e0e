"""The trial journey of a model, before a device makes it: out of build_model(), into bytes, into another build_model(),
and back as an update. What no device could train is found here."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from components.client.trainer.model import state_dict
from components.client.trainer.model.chosen_tensors import left_behind
from components.client.trainer.model.travelling_tensors import DTYPES, UnsupportedModelError, put, tensors_of
from components.client.trainer.task.error_places import describe
from components.client.trainer.task.loading import Task, TaskError
from protocol import messages, tensors
from protocol.encodings import update_layout
from protocol.messages import MAX_REPORT_BYTES, Encoding, Report, Timings
from protocol.tensors import MAX_HEADER_BYTES, InvalidTensorsError

_REPORT = Report(
    federation="f",
    round=1,
    thing="t",
    base="0" * 64,
    encoding="float32",
    examples=1,
    steps=1,
    timings=Timings(accepted_at=0.0, downloaded_at=0.0, trained_at=0.0, uploading_at=0.0, train_s=0.0),
)


def first_model(task: Task, federation: str, seed: int) -> bytes:
    """What build_model() gives, as the file of model 0.

    Raises:
        TaskError: build_model() fails.
        UnsupportedModelError: the model cannot travel; the text names the tensor.
    """
    with _explained(task.root):
        return state_dict.dump_model(task.build_model(seed), federation)


def travel(task: Task, downloaded: bytes, seed: int, encoding: Encoding) -> None:
    """Passes if devices can load this global model, as they download it, and send an update to it.

    Raises:
        TaskError: build_model() fails.
        UnsupportedModelError: they can't; the text names the tensor.
    """
    with _explained(task.root):
        file = bytearray(downloaded)
        header = tensors.parse_header(file, len(file))
        base = state_dict.views(header, file)
        for name, value in base.items():
            if value.is_floating_point() and value.isnan().any():
                raise UnsupportedModelError(f"tensor {name!r} is not a number (nan): no average with it is one either")
        layout = update_layout(header, encoding)
        if layout.header_bytes + 2 * MAX_REPORT_BYTES > MAX_HEADER_BYTES:
            raise UnsupportedModelError(
                f"the names of the model's {len(base):,} tensors take {layout.header_bytes:,} bytes, of which a file's "
                f"header has {MAX_HEADER_BYTES:,}: make fewer tensors, or shorter names"
            )
        model = task.build_model(seed)
        if not task.trains_itself and not any(parameter.requires_grad for parameter in model.parameters()):
            raise UnsupportedModelError(
                "no parameter of the model takes gradients (requires_grad): the default train() has nothing to train"
            )
        _check_what_is_left(model, task.build_model(seed))
        own = state_dict.schema(model)
        state_dict.load(model, header, base)
        try:
            put(model, {name: _changed(base[name].to(DTYPES[own[name][0]]), i) for i, name in enumerate(own)})
        except UnsupportedModelError:
            raise
        except Exception:  # it may look whether numbers make sense: those that it makes itself do
            put(model, tensors_of(task.build_model(seed + 1)))
        state_dict.load(model, header, base)
        update, _ = state_dict.dump_change(state_dict.delta(model, base, layout), layout, _REPORT)
        changed = _first_change(update)
        if changed is not None:
            raise UnsupportedModelError(f"tensor {changed!r} has changed without any training")


def _check_what_is_left(model: nn.Module, other: nn.Module) -> None:
    """What does not travel comes from build_model(), which has to make the same of the same seed."""
    again = left_behind(other)
    for name, value in left_behind(model).items():
        if isinstance(value, Tensor) and not (name in again and torch.equal(value, again[name])):
            raise UnsupportedModelError(
                f"tensor {name!r} does not travel, and build_model() makes another one each time: devices have to have "
                "the same; draw it from torch's random numbers, which are seeded, or read it from a file of the task"
            )


def _changed(value: Tensor, index: int) -> Tensor:
    """Other numbers, which differ from tensor to tensor: a model that keeps its own is found by them."""
    if value.dtype == torch.bool:
        return ~value
    return value + (1 + index % 7) if value.is_floating_point() else value ^ 1


def _first_change(update: bytes) -> str | None:
    """The first tensor in which an update is not zero."""
    header = tensors.parse_header(update, len(update))
    changed = np.frombuffer(update, np.uint8, offset=header.length).nonzero()[0]
    return next((tensor.name for tensor in header.tensors if len(changed) and changed[0] < tensor.end), None)


@contextlib.contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except (TaskError, UnsupportedModelError):
        raise
    except (InvalidTensorsError, state_dict.DivergedError, messages.InvalidMessageError) as error:
        raise UnsupportedModelError(f"the model cannot travel: {error}") from error
    except Exception as error:  # its state_dict() and load_state_dict() may be the task's own, and raise anything
        raise UnsupportedModelError(f"the model cannot be loaded: {describe(error, root)}") from error
