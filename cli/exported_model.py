"""A trained model with its network, as torch.export writes it: what runs it needs no task.py. Imports torch."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from components.client.trainer.model import state_dict
from components.client.trainer.model.travelling_tensors import UnsupportedModelError
from components.client.trainer.task.loading import Task, load_task
from protocol import tensors
from protocol.tensors import SchemaMismatchError


class ExportError(Exception):
    """torch.export can't write the network, or it is not that of the model."""


def exporter(directory: Path, seed: int) -> tuple[Callable[[bytes], bytes], str] | None:
    """What makes the program of a global model's file, and the SHA-256 of the task's code; None if the task has no
    example_inputs(). `seed` is the federation's.

    Raises:
        TaskError: task.py fails.
    """
    task = load_task(directory)
    inputs = task.example_inputs()
    if inputs is None:
        return None
    return (lambda model: _program(task, inputs, model, seed)), task.sha256


def _program(task: Task, inputs: tuple[torch.Tensor, ...], model: bytes, seed: int) -> bytes:
    network = task.build_model(seed)
    file = bytearray(model)
    header = tensors.parse_header(file, len(file))
    try:
        state_dict.load(network, header, state_dict.views(header, file))
    except (SchemaMismatchError, UnsupportedModelError) as error:
        raise ExportError(f"the model is none of build_model() in {task.root}: {error}") from error
    network.eval()
    sizes = tuple({0: torch.export.Dim.AUTO} if value.ndim else None for value in inputs)
    written = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about itself
            torch.export.save(torch.export.export(network, inputs, dynamic_shapes=sizes), written)
    except Exception as error:  # torch.export, and the network in it, may raise anything
        raise ExportError(
            f"torch.export can't write the network of {task.root}: {type(error).__name__}: {error}; without "
            "example_inputs() in task.py the tensors are published alone"
        ) from error
    return written.getvalue()
