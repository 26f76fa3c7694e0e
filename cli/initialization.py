"""Making a federation: its initial model, and its first record."""

from pathlib import Path

from cli.project import Project, ProjectError
from cloud.averaging.bfloat16_copy import TooLargeNumberError, bfloat16_copy_of
from cloud.state.records import FederationRecord
from operations.control import Operations
from protocol.messages import ModelHeader, decode, encode
from protocol.tensors import InvalidTensorsError, SchemaMismatchError, check_schema, dump, load, parse_header, schema_id

_MAKE_ONE = 'make one of a model by safetensors.torch.save_file(model.state_dict(), "model.safetensors")'


def initial_model(project: Project) -> bytes:
    """Model 0: the one that federation.yaml names, or what the task's build_model gives; it has travelled as it will to
    devices and back. Imports torch.

    Raises:
        ProjectError: the file is no model, the task gives none, or devices could not train it.
    """
    from cli.model_round_trip import first_model, travel
    from components.client.trainer.model.travelling_tensors import UnsupportedModelError
    from components.client.trainer.task.loading import TaskError, load_task

    settings = project.settings
    seed = settings.training.seed
    try:
        task = load_task(project.task)
        model = first_model(task, settings.name, seed)
        if settings.initial_model is not None:
            model = _from_file(project.directory / settings.initial_model, model, settings.name)
        downloaded = bfloat16_copy_of(model) if settings.has_bfloat16_copy else model
        travel(task, downloaded, seed, settings.encoding)
    except (TaskError, UnsupportedModelError) as error:
        origin = "" if settings.initial_model is None else f" with initial_model {settings.initial_model}"
        raise ProjectError(f"{project.task}{origin}: {error}") from error
    except TooLargeNumberError as error:
        raise ProjectError(f"download: bfloat16 does not fit the initial model: {error}") from error
    return model


def _from_file(path: Path, built: bytes, federation: str) -> bytes:
    """A safetensors file of the user's, in the layout and with the header that a global model has."""
    try:
        header, arrays = load(path.read_bytes())
        built_header, _ = load(built)
        check_schema(header, built_header.schema)
    except OSError as error:
        raise ProjectError(f"initial_model: {path} can't be read: {error.strerror}") from error
    except SchemaMismatchError as error:
        raise ProjectError(f"initial_model: {path} does not fit build_model: {error}") from error
    except InvalidTensorsError as error:
        raise ProjectError(f"initial_model: {path} is no safetensors file: {error}; {_MAKE_ONE}") from error
    about = decode(built_header.message, ModelHeader)
    dtypes = {tensor.name: tensor.dtype for tensor in built_header.tensors}
    return dump(
        arrays, dtypes, encode(ModelHeader(federation=federation, round=0, buffers=about.buffers)), about.buffers
    )


def create(operations: Operations, project: Project, model: bytes) -> FederationRecord:
    """Upload model 0 and make the federation, ready to start.

    Raises:
        FederationExistsError: the name is taken.
    """
    operations.federations.check_free(project.settings.name)
    header = parse_header(model, len(model))
    reference = operations.put_initial(project.settings, model)
    return operations.federations.create(project.settings, reference, schema_id(header.schema))
