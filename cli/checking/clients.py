"""The data that a check tries a project out on."""

from collections.abc import Mapping
from pathlib import Path

from cli import client_data
from cli.project import Project


def clients_of(project: Project | None, data: Path | None, scratch: Path) -> Mapping[str, Path]:
    """The folders of data, by client: those of `data`, which may be split into `scratch` for that; else those in the
    project's data/. If that has files alone, they are for every device, and it is the folder of one. None if there is
    neither.

    Raises:
        ClientDataError, DatasetError: as cli.client_data.clients_of.
    """
    if data is not None:
        return client_data.clients_of(data, clients=None, split=None, seed=0, scratch=scratch).folders
    own = None if project is None else project.directory / "data"
    if own is None or not own.is_dir():
        return {}
    if any(path.is_dir() for path in own.iterdir()):
        return client_data.clients_of(own, clients=None, split=None, seed=0, scratch=scratch).folders
    return {"every-device": own}
