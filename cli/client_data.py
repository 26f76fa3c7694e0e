"""The folders of clients' data that commands train on: as people have laid them out, or made of a source on the fly."""

from pathlib import Path
from typing import NamedTuple

from cli import digits
from cli.datasets.dataset import Source
from cli.datasets.dividing import Request
from cli.datasets.files import walk
from cli.datasets.opening import is_data, open_source
from cli.datasets.pictures import PARTS, is_picture
from cli.datasets.splitting import parse_split
from cli.datasets.writing import CLIENTS, HOLDOUT, share_out
from cli.plurals import counted
from protocol.names import InvalidNameError, check_thing

DEFAULT_CLIENTS = 8


class ClientDataError(ValueError):
    """There are no folders of clients' data where they should be, or they are not as they should be; the text names the
    folder and the remedy."""


class ClientData(NamedTuple):
    """An absolute folder for each client, in the order of their names; `holdout` is one that no client has."""

    folders: dict[str, Path]
    holdout: Path | None


def clients_of(data: Path, *, clients: int | None, split: str | None, seed: int, scratch: Path) -> ClientData:
    """The first `clients` (all, if None) of the folders in `data`: one for each client, either in its folder clients/
    (as `fedgrass split` writes them) or in itself. What is no such folder is a source, and is split into `scratch`, a
    folder that is empty or not there yet, as `split` (iid) says.

    Raises:
        ClientDataError: a client has no name that a thing may have, or no data, or there are too few of them.
        DatasetError, ImpossibleSplitError, InvalidSplitError: `data` can't be split; see cli.datasets.
    """
    data = data.absolute()
    if not data.exists():
        raise ClientDataError(
            f"{data} does not exist: name a folder with one folder a client, or data to split among clients"
        )
    if (data / CLIENTS).is_dir():
        if split is not None:
            raise ClientDataError(f"{data} is split already, see {data / CLIENTS}: leave --split out")
        return _of_folders(data / CLIENTS, data / HOLDOUT, clients)
    if split is None and _has_a_folder_a_client(data):
        return _of_folders(data, data / HOLDOUT, clients)
    return _split(open_source(data), clients, split, seed, scratch)


def clients_of_digits(*, clients: int | None, split: str | None, seed: int, scratch: Path) -> ClientData:
    """The digits that fedgrass carries, split into `scratch`: what the example task trains on.

    Raises:
        DatasetError, ImpossibleSplitError, InvalidSplitError: as `clients_of`.
    """
    return _split(digits.packaged_source(), clients, split, seed, scratch)


def _split(source: Source, clients: int | None, split: str | None, seed: int, scratch: Path) -> ClientData:
    how = parse_split(split or "iid")
    count = None if how.kind == "by" else clients or DEFAULT_CLIENTS
    request = Request(how, count, seed=seed)
    written = share_out(source, request, scratch.absolute())
    folders = dict(sorted(written.clients.items()))
    return ClientData(_first(folders, clients, source.path), written.holdout)


def _has_a_folder_a_client(data: Path) -> bool:
    """Whether there are folders in it, no data beside them, and none of them is a label of pictures."""
    if not data.is_dir() or any(is_data(path) for path in data.iterdir() if path.is_file()):
        return False
    folders = _folders(data)
    if {folder.name for folder in folders} <= PARTS:
        return False
    return not any(is_picture(path) for folder in folders for path in folder.iterdir())


def _of_folders(place: Path, holdout: Path, clients: int | None) -> ClientData:
    found = {path.name: path for path in _folders(place) if path != holdout}
    if not found:
        raise ClientDataError(f"{place} has no client's folder: put each client's data into one, named as the client")
    for name, path in found.items():
        try:
            check_thing(name)
        except InvalidNameError as error:
            raise ClientDataError(
                f"{path}: a client's folder has the client's name, and this is none: {error}"
            ) from error
    chosen = _first(found, clients, place)
    for path in (*chosen.values(), *([holdout] if holdout.is_dir() else [])):
        if not any(walk(path)[0]):
            raise ClientDataError(f"{path} has no file in it: put the client's data there, or remove the folder")
    return ClientData(chosen, holdout if holdout.is_dir() else None)


def _first(folders: dict[str, Path], clients: int | None, place: Path) -> dict[str, Path]:
    if clients is not None and clients > len(folders):
        raise ClientDataError(
            f"{clients:,} clients are more than the {counted(len(folders), 'client')} of {place}: "
            f"use {len(folders):,} or fewer"
        )
    return dict(list(folders.items())[:clients])


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
