"""The data that a check tries a project out on."""

from collections.abc import Mapping
from pathlib import Path

from cli import client_data
from cli.project import Project
from cli.project_data import DataOptions, source_of


def clients_of(project: Project | None, data: Path | None, scratch: Path) -> Mapping[str, Path]:
    """The folders of data, by client: those of `data`, which may be split into `scratch` for that; else those in the
    project's data/. If that has files alone, they are for every device, and it is the folder of one. None if there is
    neither.

    Raises:
        ClientDataError, DatasetError: as cli.client_data.clients_of.
    """
    source = data if project is None else source_of(project, DataOptions(data=data))
    if source is not None:
        return client_data.clients_of(source, clients=None, split=None, seed=0, scratch=scratch).folders
    if project is not None and (own := project.directory / "data").is_dir():
        return {"every-device": own}
    return {}
