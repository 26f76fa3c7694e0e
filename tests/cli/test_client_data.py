"""cli/client_data.py: the folders of clients that commands train on, from what people have."""

from pathlib import Path

import numpy as np
import pytest

from cli.client_data import ClientDataError, clients_of, clients_of_digits
from cli.datasets.dataset import DatasetError
from cli.datasets.dividing import Request
from cli.datasets.opening import open_source
from cli.datasets.splitting import ImpossibleSplitError, Split
from cli.datasets.writing import share_out

CSV = "user,x,label\n" + "".join(f"user-{number % 5},{number},{number % 2}\n" for number in range(100))


def put(path: Path, content: str = CSV) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def folders_of(data: Path, tmp_path: Path, clients: int | None = None, split: str | None = None) -> list[str]:
    """The names of the clients that `data` gives."""
    found = clients_of(data, clients=clients, split=split, seed=0, scratch=tmp_path / "scratch")
    assert all(folder.is_absolute() and folder.is_dir() for folder in found.folders.values())
    return list(found.folders)


def test_what_split_has_written_is_taken_as_it_is(tmp_path: Path) -> None:
    source = open_source(put(tmp_path / "data.csv"))
    written = share_out(source, Request(Split("by", column="user")), tmp_path / "out")
    found = clients_of(tmp_path / "out", clients=None, split=None, seed=0, scratch=tmp_path / "scratch")
    assert found.folders == dict(sorted(written.clients.items()))
    assert found.holdout == tmp_path / "out" / "holdout"
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("place", ["", "clients/"])
def test_a_folder_a_client_is_a_layout_of_one_s_own(tmp_path: Path, place: str) -> None:
    for name in ("pi-2", "pi-10", "pi-1"):
        put(tmp_path / "data" / f"{place}{name}" / "whatever.dat")
    put(tmp_path / "data" / "holdout" / "whatever.dat")
    put(tmp_path / "data" / "README.md")
    put(tmp_path / "data" / ".cache" / "x")
    assert folders_of(tmp_path / "data", tmp_path) == ["pi-1", "pi-10", "pi-2"]
    assert folders_of(tmp_path / "data", tmp_path, clients=2) == ["pi-1", "pi-10"]
    found = clients_of(tmp_path / "data", clients=1, split=None, seed=0, scratch=tmp_path / "scratch")
    assert found.holdout == tmp_path / "data" / "holdout"


def test_pictures_in_a_client_s_own_folders_are_not_taken_for_labels(tmp_path: Path) -> None:
    for client in ("pi-1", "pi-2"):
        put(tmp_path / "data" / client / "cat" / "1.png", "")
    assert folders_of(tmp_path / "data", tmp_path) == ["pi-1", "pi-2"]


def test_a_source_is_split_on_the_fly(tmp_path: Path) -> None:
    found = clients_of(put(tmp_path / "data.csv"), clients=4, split=None, seed=0, scratch=tmp_path / "scratch")
    assert list(found.folders) == ["device-000", "device-001", "device-002", "device-003"]
    assert found.holdout == tmp_path / "scratch" / "holdout"
    assert all((folder / "data.csv").is_file() for folder in (*found.folders.values(), found.holdout))


def test_a_source_is_split_as_asked_and_the_first_clients_are_taken(tmp_path: Path) -> None:
    data = put(tmp_path / "data.csv")
    assert folders_of(data, tmp_path, split="by:user", clients=2) == ["user-0", "user-1"]


def test_folders_of_tables_are_clients_or_a_source_as_the_split_says(tmp_path: Path) -> None:
    for name in ("north", "south"):
        put(tmp_path / "data" / name / "data.csv")
    assert folders_of(tmp_path / "data", tmp_path) == ["north", "south"]
    assert len(folders_of(tmp_path / "data", tmp_path, split="iid", clients=3)) == 3


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    data = put(tmp_path / "data.csv")
    contents = []
    for place in ("one", "two"):
        found = clients_of(data, clients=3, split="dirichlet:0.5", seed=7, scratch=tmp_path / place)
        contents.append({name: (folder / "data.csv").read_bytes() for name, folder in found.folders.items()})
    assert contents[0] == contents[1]


def test_the_example_gets_its_digits(tmp_path: Path) -> None:
    found = clients_of_digits(clients=3, split="labels:4", seed=0, scratch=tmp_path / "scratch")
    assert list(found.folders) == ["device-000", "device-001", "device-002"]
    assert found.holdout is not None
    assert (found.holdout / "train-images-idx3-ubyte").stat().st_size == 16 + 1000 * 28 * 28


def refusal(data: Path, tmp_path: Path, clients: int | None = None, split: str | None = None) -> str:
    with pytest.raises((ClientDataError, DatasetError, ImpossibleSplitError)) as caught:
        clients_of(data, clients=clients, split=split, seed=0, scratch=tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()
    return str(caught.value)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere", tmp_path).startswith(f"{tmp_path / 'nowhere'} does not exist: name a folder")


def test_an_empty_folder_is_named_with_what_can_be_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    told = refusal(tmp_path / "data", tmp_path)
    assert told.startswith(f"{tmp_path / 'data'} holds no data")
    assert "one folder a client" in told


def test_no_client_s_folder_in_clients_is_named(tmp_path: Path) -> None:
    put(tmp_path / "data" / "clients" / "data.csv")
    told = refusal(tmp_path / "data", tmp_path)
    assert told.startswith(f"{tmp_path / 'data' / 'clients'} has no client's folder")


def test_an_empty_client_s_folder_is_named(tmp_path: Path) -> None:
    put(tmp_path / "data" / "pi-1" / "data.csv")
    put(tmp_path / "data" / "pi-2" / "cats" / ".DS_Store")
    assert refusal(tmp_path / "data", tmp_path).startswith(f"{tmp_path / 'data' / 'pi-2'} has no file in it")


def test_a_folder_whose_name_no_thing_can_have_is_named(tmp_path: Path) -> None:
    put(tmp_path / "data" / "Alice Smith" / "data.csv")
    told = refusal(tmp_path / "data", tmp_path)
    assert str(tmp_path / "data" / "Alice Smith") in told
    assert "a-z" in told


def test_more_clients_than_there_are_is_told_with_how_many(tmp_path: Path) -> None:
    put(tmp_path / "data" / "pi-1" / "data.csv")
    told = refusal(tmp_path / "data", tmp_path, clients=3)
    assert told == f"3 clients are more than the 1 client of {tmp_path / 'data'}: use 1 or fewer"


def test_what_is_split_already_is_not_split_again(tmp_path: Path) -> None:
    put(tmp_path / "data" / "clients" / "pi-1" / "data.csv")
    assert "leave --split out" in refusal(tmp_path / "data", tmp_path, split="iid")


def test_a_source_that_cannot_be_split_so_leaves_nothing_behind(tmp_path: Path) -> None:
    assert "more than the 80 examples" in refusal(put(tmp_path / "data.csv"), tmp_path, clients=500)


def test_arrays_are_split_on_the_fly(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((40, 3)), y=np.arange(40) % 4)
    assert len(folders_of(tmp_path / "data.npz", tmp_path, clients=2, split="labels:2")) == 2
