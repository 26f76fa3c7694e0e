"""cli/project_data.py: where the clients' data is that nobody named."""

import re
from pathlib import Path

import pytest

from cli.client_data import ClientData, ClientDataError
from cli.project import Project, load
from cli.project_data import EXAMPLE, DataOptions, data_of


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "task.py").write_text("")
    (folder / "federation.yaml").write_text("name: own\ntraining: {epochs: 1, batch_size: 8, learning_rate: 0.1}\n")
    return load(folder)


def found(project: Project, scratch: Path, data: Path | None = None, clients: int | None = None) -> ClientData:
    return data_of(project, DataOptions(data=data, clients=clients), scratch / "shards")


def written(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "numbers.csv").write_text("1,2\n")


def test_the_projects_own_folders_are_taken(project: Project, tmp_path: Path) -> None:
    written(project.directory / "data", "north", "south", "holdout")
    assert list(found(project, tmp_path).folders) == ["north", "south"]
    assert found(project, tmp_path).holdout == project.directory / "data" / "holdout"
    assert list(found(project, tmp_path, clients=1).folders) == ["north"]


def test_data_that_is_named_comes_first(project: Project, tmp_path: Path) -> None:
    written(project.directory / "data", "north", "south")
    written(tmp_path / "other", "east")
    assert list(found(project, tmp_path, tmp_path / "other").folders) == ["east"]


def test_a_note_beside_the_folders_is_no_matter_and_an_empty_folder_is_named(project: Project, tmp_path: Path) -> None:
    written(project.directory / "data", "north", "south")
    (project.directory / "data" / "README.md").write_text("by place\n")
    (project.directory / "data" / ".cache").mkdir()
    assert list(found(project, tmp_path).folders) == ["north", "south"]
    (project.directory / "data" / "west").mkdir()
    with pytest.raises(ClientDataError, match="west has no file in it"):
        found(project, tmp_path)


def test_files_for_every_device_are_no_clients_data(project: Project, tmp_path: Path) -> None:
    (project.directory / "data").mkdir()
    (project.directory / "data" / "words.txt").write_text("one\n")
    with pytest.raises(
        ClientDataError, match=re.escape(f"--data, or put a folder for each client into {project.directory}")
    ):
        found(project, tmp_path)


def test_the_example_has_its_digits(tmp_path: Path) -> None:
    assert len(found(load(EXAMPLE), tmp_path, clients=3).folders) == 3
