"""What became of a global model, by plain torch alone: run as `python -m trials.shapes.judge`, in a process of its
own for each task, with a `Case` as JSON on standard input, it answers with `Judged` on standard output.

Models are read by safetensors' own library and loaded by the model's own `load_state_dict`, so that what fedgrass does
on its devices is compared with what it does not do itself. The task's own `evaluate` measures.
"""

import math
import os
import sys
from pathlib import Path
from typing import Literal

import msgspec

from components.client.trainer import memory

Kind = Literal["trainable", "frozen", "buffer"]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A federation that has ended. `given` is round -> the file of the model that its devices downloaded; `start` and
    `end` are the files of model 0 and of the last one. The folders are those of the data of each device, by thing, and
    of data that no device has."""

    federation: str
    task: str
    start: str
    end: str
    given: dict[int, str]
    devices: dict[str, str]
    held_out: str


class JudgedTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of the model's state. `changed` compares the last model with model 0; `finite` says that no number
    has become infinite or nan that was not so in model 0. `lowest` is the least number of the last one, None if that
    is not finite, for which JSON has no word."""

    name: str
    kind: Kind
    numbers: int
    changed: bool
    finite: bool
    lowest: float | None


Measured = dict[str, float | None]
"""Metrics by name; None is one that is not finite."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of model 0 and of the last one on data that no device has; and round -> thing -> the metrics of the
    model that the device was given, on that device's data."""

    tensors: list[JudgedTensor]
    start: Measured
    end: Measured
    given: dict[int, dict[str, Measured]]


def judge(case: Case) -> Judged:
    """Load, measure and compare."""
    with memory.here_to_stay():
        import torch
        from safetensors.torch import load_file

        from components.client.trainer.model.chosen_tensors import is_chosen, state_of
        from components.client.trainer.task.loading import load_task
        from fedgrass.task import Client

    torch.set_num_threads(1)
    task = load_task(Path(case.task))

    def measure(path: str, thing: str, directory: str) -> Measured:
        model = task.build_model()
        values = load_file(path)
        if is_chosen(model):
            model.load_state_dict(values, strict=False)
        else:
            model.load_state_dict(values)
        for name, value in state_of(model).items():
            if not torch.equal(value, values[name].to(value.dtype)):
                raise RuntimeError(f"load_state_dict() of the task's model does not load {name!r}")
        data = task.load_data(Path(directory), Client(thing=thing, federation=case.federation))
        metrics = task.evaluate(model, data)
        return {name: _finite(value) for name, value in metrics.items()}

    model = task.build_model()
    kinds: dict[str, Kind] = {
        name: "trainable" if parameter.requires_grad else "frozen"
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }
    start, end = load_file(case.start), load_file(case.end)
    tensors = []
    for name, value in end.items():
        was, now = start[name].to(torch.float64), value.to(torch.float64)
        ends = now.isnan() | now.isinf()
        tensors.append(
            JudgedTensor(
                name=name,
                kind=kinds.get(name, "buffer"),
                numbers=value.numel(),
                changed=not torch.equal(was, now),
                finite=not bool((ends & (was != now)).any()),
                lowest=_finite(float(now.min())) if value.numel() else None,
            )
        )
    return Judged(
        tensors=tensors,
        start=measure(case.start, "held-out", case.held_out),
        end=measure(case.end, "held-out", case.held_out),
        given={
            number: {thing: measure(path, thing, directory) for thing, directory in case.devices.items()}
            for number, path in case.given.items()
        },
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def main() -> None:
    """Answer once."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a task prints is no answer
    with answers:
        answers.write(msgspec.json.encode(judge(msgspec.json.decode(sys.stdin.buffer.read(), type=Case))))


if __name__ == "__main__":
    main()
