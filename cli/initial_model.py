"""Model 0 of a federation, as devices will get it. Imports torch."""

from pathlib import Path

from cli.model_round_trip import first_model, travel
from cloud.averaging.bfloat16_copy import TooLargeNumberError, bfloat16_copy_of
from cloud.settings import Federation
from components.client.trainer.model.travelling_tensors import UnsupportedModelError
from components.client.trainer.task.loading import Task
from protocol.messages import ModelHeader, decode, encode
from protocol.tensors import InvalidTensorsError, SchemaMismatchError, check_schema, dump, load

_MAKE_ONE = 'make one of a model by safetensors.torch.save_file(model.state_dict(), "model.safetensors")'


class InitialModelError(Exception):
    """The file that federation.yaml names as initial_model is of no use, or devices could not train it; or its copy in
    bfloat16 can't be made."""


def initial_model(task: Task, directory: Path, settings: Federation) -> bytes:
    """Model 0: the one that federation.yaml, in this directory, names, or what the task's build_model gives; it has
    travelled as it will to devices and back.

    Raises:
        InitialModelError: see there.
        TaskError: build_model() fails.
        UnsupportedModelError: devices could not train what it gives.
    """
    seed = settings.training.seed
    model = first_model(task, settings.name, seed)
    if settings.initial_model is not None:
        model = _from_file(directory / settings.initial_model, model, settings.name)
    try:
        downloaded = bfloat16_copy_of(model) if settings.has_bfloat16_copy else model
        travel(task, downloaded, seed, settings.encoding)
    except TooLargeNumberError as error:
        raise InitialModelError(f"download: bfloat16 does not fit the initial model: {error}") from error
    except UnsupportedModelError as error:
        if settings.initial_model is None:
            raise
        raise InitialModelError(f"initial_model {settings.initial_model}: {error}") from error
    return model


def _from_file(path: Path, built: bytes, federation: str) -> bytes:
    """A safetensors file of the user's, in the layout and with the header that a global model has."""
    try:
        header, arrays = load(path.read_bytes())
        built_header, _ = load(built)
        check_schema(header, built_header.schema)
    except OSError as error:
        raise InitialModelError(f"initial_model: {path} can't be read: {error.strerror}") from error
    except SchemaMismatchError as error:
        raise InitialModelError(f"initial_model: {path} does not fit build_model: {error}") from error
    except InvalidTensorsError as error:
        raise InitialModelError(f"initial_model: {path} is no safetensors file: {error}; {_MAKE_ONE}") from error
    about = decode(built_header.message, ModelHeader)
    dtypes = {tensor.name: tensor.dtype for tensor in built_header.tensors}
    return dump(
        arrays, dtypes, encode(ModelHeader(federation=federation, round=0, buffers=about.buffers)), about.buffers
    )
