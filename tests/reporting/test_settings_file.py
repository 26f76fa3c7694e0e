"""config.yaml: a federation.yaml that says the settings of a run."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.settings.parsing import parse
from cli.settings.yaml_file import YamlFile
from reporting import settings_file
from tests.cloud.examples import TRAINING, federation

SOME: list[dict[str, Any]] = [
    {},
    {"rounds": 3, "deadline_s": 0.5 * 3600, "target": "80%", "quorum": 0.5e1},
    {"selection": {"policy": "random", "cohort": 12, "dropout": 0.1}},
    {"averaging": {"rule": "trimmed_mean", "trim": 1e-05}},
    {"averaging": {"optimizer": {"name": "fedavgm"}}},
    {"averaging": {"optimizer": {"name": "fedadam", "learning_rate": 1e-3, "tau": 1e-9}, "ema": 0.5}},
    {"pacing": {"policy": "fixed_rate", "interval_s": 3600}, "encoding": "int8", "download": "bfloat16"},
    {"training": {"steps": 3, "batch_size": 32, "learning_rate": 1e-6, "seed": 2**63 - 1}},
    {"max_staleness": 2, "target": 5, "selection": {"policy": "random", "cohort": 10}},
]


@pytest.mark.parametrize("changes", SOME)
def test_fedgrass_reads_the_settings_that_were_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = federation(**changes)
    (tmp_path / "config.yaml").write_text(settings_file.yaml_of(settings))
    assert parse(YamlFile(tmp_path / "config.yaml").value) == settings
    assert settings_file.read(tmp_path / "config.yaml") == settings


def test_only_what_is_not_the_default_is_written() -> None:
    settings = federation(averaging={"optimizer": {"name": "fedavgm"}})
    assert settings_file.yaml_of(settings).splitlines() == [
        "name: f",
        "training:",
        "  batch_size: 8",
        "  learning_rate: 0.1",
        "  epochs: 1",
        "averaging:",
        "  optimizer:",
        "    name: fedavgm",
    ]


NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)
PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(name=NAMES | st.sampled_from(["1e3", "010", "1-2", "no", "true", "null", "0x1f", "1"]), task=PATHS)
def test_texts_that_look_like_something_else_stay_texts(
    tmp_path_factory: pytest.TempPathFactory, name: str, task: str
) -> None:
    settings = parse({"name": name, "training": TRAINING, "task": task})
    path = tmp_path_factory.mktemp("texts") / "config.yaml"
    path.write_text(settings_file.yaml_of(settings), encoding="utf-8")
    assert parse(YamlFile(path).value) == settings
    assert settings_file.read(path) == settings


def test_settings_of_a_newer_version_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(settings_file.yaml_of(federation()) + "moon_phase: full\n")
    assert settings_file.read(path) == federation()


def test_what_holds_no_settings_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text in ("- a", "name: [", "name: 3"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"config\.yaml holds no federation's settings"):
            settings_file.read(path)
