"""cli/project.py: a federation's folder, and how its user is told what is wrong in it."""

from pathlib import Path
from typing import Any

import pytest

from cli.project import ProjectError, load

TRAINING = "training: {epochs: 1, batch_size: 8, learning_rate: 1e-3}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task.py").write_text("")
    (tmp_path / "federation.yaml").write_text(f"name: f\n{TRAINING}")
    return tmp_path


def refusal(folder: Path, text: str, **changes: Any) -> list[str]:
    (folder / "federation.yaml").write_text(text)
    with pytest.raises(ProjectError) as refused:
        load(folder, **changes)
    return str(refused.value).replace(str(folder), "").split("\n")


def test_numbers_are_read_as_people_write_them(folder: Path) -> None:
    assert load(folder).settings.training.learning_rate == 0.001


def test_all_that_is_wrong_is_told_at_once_with_file_line_field_and_value(folder: Path) -> None:
    text = "name: f\ntraining:\n  epochs: 1\n  batch_size: 0\n  learning_rate: fast\nquorom: 3\n"
    assert refusal(folder, text) == [
        "/federation.yaml:4: training.batch_size: 0: use a whole number from 1",
        '/federation.yaml:5: training.learning_rate: "fast": use a number above 0, up to 1000000',
        "/federation.yaml:6: quorom: there is no such field in federation.yaml; did you mean quorum?",
    ]


def test_a_field_that_is_missing_is_told_with_the_line_of_what_lacks_it(folder: Path) -> None:
    assert refusal(folder, "name: f\ntraining:\n  epochs: 1\n  batch_size: 1\n") == [
        "/federation.yaml:2: training.learning_rate: is missing: use a number above 0, up to 1000000"
    ]


def test_what_was_given_on_the_command_line_has_no_line(folder: Path) -> None:
    text = f"name: f\n{TRAINING}rounds: 3\ntarget: 0\n"
    told = refusal(folder, text, rounds=-1)
    assert told[0] == "/federation.yaml: rounds: -1: use a whole number from 1 to 99999999"
    assert told[1].startswith("/federation.yaml:4: target: 0: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "/federation.yaml: it is empty: federation settings are fields with values"),
        ("- a\n", "/federation.yaml: ['a']: federation settings are fields with values"),
        ("a: 1\na: 2\n", "/federation.yaml:2: a is here twice, first on line 1"),
        (f"name: f\n{TRAINING}task: nowhere\n", "/federation.yaml:3: task: /nowhere has no task.py"),
        (f"name: f\n{TRAINING}initial_model: m\n", "/federation.yaml:3: initial_model: there is no file /m"),
        (f"name: f\n{TRAINING}completion: custom\n", "/federation.yaml: it asks for custom is_complete"),
    ],
)
def test_a_file_that_is_no_federation_is_told_with_its_line(folder: Path, text: str, told: str) -> None:
    (line,) = refusal(folder, text)
    assert line.startswith(told)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"/federation\.yaml: there is no such file: name the folder"):
        load(tmp_path)


def test_a_task_that_does_not_compile_is_told_by_its_own_line(folder: Path) -> None:
    (folder / "task.py").write_text("x = 1\ndef broken(:\n")
    (line,) = refusal(folder, f"name: f\n{TRAINING}")
    assert line.startswith("/federation.yaml: task: /task.py:2: ")


def test_packages_that_devices_could_not_install_are_told_with_file_and_line(folder: Path) -> None:
    (folder / "requirements.txt").write_text("grass\nmeadow==1.0\nnumpy==1.0\n")
    first, second = refusal(folder, f"name: f\n{TRAINING}")
    assert first.startswith("/requirements.txt:1: grass: which version?")
    assert second.startswith("/requirements.txt:3: numpy==1.0: com.fedgrass.Runtime has")
    (folder / "requirements.txt").write_text("meadow==1.0\n")
    assert load(folder).settings.name == "f"
