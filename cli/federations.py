"""Making a federation: its initial model, and its first record."""

from pathlib import Path

from cli.project import Project, ProjectError
from cloud.operations import Operations
from cloud.state.records import FederationRecord
from protocol.messages import ModelHeader, decode, encode
from protocol.narrowing import TooLargeNumberError
from protocol.tensors import InvalidTensorsError, check_schema, dump, load, parse_header, schema_id


def initial_model(project: Project) -> bytes:
    """Model 0: the one that federation.yaml names, or what the task's build_model gives. Imports torch.

    Raises:
        ProjectError: the file is no model, or the task gives none.
    """
    from components.client.loading import TaskError, load_task
    from components.client.state_dict import UnsupportedModelError, dump_model

    settings = project.settings
    try:
        import torch

        torch.manual_seed(settings.training.seed)
        built = dump_model(load_task(project.task).build_model(), settings.name)
    except (TaskError, UnsupportedModelError) as error:
        raise ProjectError(f"{project.task}: {error}") from error
    if settings.initial_model is None:
        return built
    return _from_file(project.directory / settings.initial_model, built, settings.name)


def _from_file(path: Path, built: bytes, federation: str) -> bytes:
    """A safetensors file of the user's, in the layout and with the header that a global model has."""
    try:
        header, arrays = load(path.read_bytes())
        own, _ = load(built)
        check_schema(header, own.schema)
    except OSError as error:
        raise ProjectError(f"initial_model: {path} can't be read: {error.strerror}") from error
    except InvalidTensorsError as error:
        raise ProjectError(f"initial_model: {path} does not fit build_model: {error}") from error
    about = decode(own.message, ModelHeader)
    dtypes = {tensor.name: tensor.dtype for tensor in own.tensors}
    return dump(
        arrays, dtypes, encode(ModelHeader(federation=federation, round=0, buffers=about.buffers)), about.buffers
    )


def create(operations: Operations, project: Project, model: bytes) -> FederationRecord:
    """Upload model 0 and make the federation, ready to start.

    Raises:
        ProjectError: the model can't be had in the form that devices are to download.
        FederationExistsError: the name is taken.
    """
    operations.federations.check_free(project.settings.name)
    header = parse_header(model, len(model))
    try:
        reference = operations.put_initial(project.settings, model)
    except TooLargeNumberError as error:
        raise ProjectError(f"download: bfloat16 does not fit the initial model: {error}") from error
    return operations.federations.create(project.settings, reference, schema_id(header.schema))
