"""The data that a project's clients have."""

from pathlib import Path

import msgspec

from cli.client_data import ClientData, ClientDataError, clients_of, clients_of_digits
from cli.project import Project
from components.task_folder import is_of_clients

EXAMPLE = Path(__file__).parent.parent / "components" / "tasks" / "mnist"


class DataOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a command is told of the data: where it is, how many clients are to have it (all, if None), and how it is
    split among them."""

    data: Path | None = None
    clients: int | None = None
    split: str | None = None
    seed: int = 0


def data_of(project: Project, options: DataOptions, scratch: Path) -> ClientData:
    """The clients' folders; what has to be split is split into `scratch`.

    Raises:
        ClientDataError, DatasetError, ImpossibleSplitError, InvalidSplitError: there are none.
    """
    source = source_of(project, options)
    if source is not None:
        return clients_of(source, clients=options.clients, split=options.split, seed=options.seed, scratch=scratch)
    if project.task == EXAMPLE.resolve():
        return clients_of_digits(clients=options.clients, split=options.split, seed=options.seed, scratch=scratch)
    own = project.directory / "data"
    files = f"; the files in {own} are for every device" if own.is_dir() else ""
    raise ClientDataError(f"there is no data: name it by --data, or put a folder for each client into {own}{files}")


def source_of(project: Project, options: DataOptions) -> Path | None:
    """What is named, or else the project's own data/ if it is of clients; None if there is neither."""
    own = project.directory / "data"
    return options.data or (own if is_of_clients(own) else None)
