"""cli/settings/given_options.py: settings given on the command line."""

from pathlib import Path

import pytest

from cli.project import ProjectError, load
from cli.settings.given_options import InvalidOptionError, parse_set

YAML = "name: f\ntraining:\n  epochs: 1\n  batch_size: 8\n  learning_rate: 0.1\nquorum: 3\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task.py").write_text("")
    (tmp_path / "federation.yaml").write_text(YAML)
    return tmp_path


def test_options_take_the_place_of_what_the_file_says_the_last_one_of_each_field(folder: Path) -> None:
    given = ["training.learning_rate=1e-3", "training.epochs=null", "training.steps=3", "training.steps=4",
             "averaging.optimizer.name=fedadam", "averaging.optimizer.beta1=0.5", "target=80%",
             "selection={policy: random, cohort: 3}"]  # fmt: skip
    settings = load(folder, [parse_set(text) for text in given]).settings
    assert (settings.training.learning_rate, settings.training.epochs, settings.training.steps) == (0.001, None, 4)
    assert (settings.averaging.optimizer.name, settings.target, settings.selection.cohort) == ("fedadam", "80%", 3)
    assert (settings.training.batch_size, settings.quorum) == (8, 3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "training.lerning_rate=1",
            "training.lerning_rate: there is no such field in training; did you mean learning_",
        ),
        ("training.momentum=much", 'training.momentum: "much": use a number from 0, below 1'),
        ("training.momentum=", "training.momentum: it is empty: use a number from 0, below 1"),
        ("training.epochs=null", "training: is without epochs and steps: give one of them"),
        ("task=elsewhere", "task: /elsewhere has no task.py"),
        ("rounds.of=3", "rounds: {'of': 3}: use a whole number from 1 to 99999999"),
    ],
)
def test_what_an_option_gives_is_checked_as_the_file_is_and_told_by_the_option(
    folder: Path, given: str, told: str
) -> None:
    with pytest.raises(ProjectError) as refused:
        load(folder, [parse_set(given)])
    assert str(refused.value).replace(str(folder), "").startswith(f"--set {given}: {told}")


def test_what_of_the_file_does_not_go_with_an_option_is_told_with_its_line(folder: Path) -> None:
    with pytest.raises(ProjectError) as refused:
        load(folder, [parse_set("averaging.rule=krum")])
    told = "/federation.yaml:6: quorum: 3 is fewer than the 5 updates that averaging.rule krum needs"
    assert str(refused.value).replace(str(folder), "") == told


@pytest.mark.parametrize("text", ["training.steps", "=3", "training..steps=3", ".=1", "training.steps=[1", "name=!x y"])
def test_a_text_that_gives_no_field_a_value_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError) as refused:
        parse_set(text)
    assert str(refused.value).startswith(f"--set {text}: ")
