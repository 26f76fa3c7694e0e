"""The experiments that come with fedgrass, and what benchmarks/learning.py runs, say what can be run."""

import json
from pathlib import Path

import pytest

from benchmarks.learning import MNIST, PROJECT, SELECTION, Bench, Case
from cli import digits
from cli.datasets import idx
from cli.experiments.experiment_file import read
from cli.experiments.runs import runs_of
from cli.project import load
from cli.screen import Screen
from cli.settings.given_options import parse_set

FILES = sorted(path for path in PROJECT.glob("*.yaml") if path.name != "federation.yaml")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 digits in MNIST's files."""
    folder = tmp_path_factory.mktemp("digits")
    packaged = digits.packaged()
    for part, images in (("train", packaged.train), ("t10k", packaged.holdout)):
        idx.write(folder, part, idx.Images(images.images[::10], images.labels[::10]))
    return folder


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_can_be_run_with_a_folder_of_digits(file: Path, data: Path) -> None:
    runs = runs_of(read(file, data))
    assert runs
    assert {run.options.data for run in runs} == {data}


@pytest.mark.parametrize("case", [*MNIST.values(), *SELECTION.values()])
def test_the_settings_of_each_case_go_together(case: Case) -> None:
    settings = load(PROJECT, [parse_set(setting) for setting in case.settings]).settings
    assert (settings.averaging.ema > 0) == case.metric.startswith("ema_")


def test_the_higher_a_client_s_digits_the_slower_it_is(data: Path, tmp_path: Path) -> None:
    bench = Bench(data, [0], tmp_path, Screen(quiet=True), few=True)
    case = SELECTION["random"]._replace(clients=10)
    devices = [json.loads(line) for line in bench.devices(case, 0, 0.1).read_text().splitlines()]
    rates = [device["examples_per_s"] for device in devices]
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], rates[-1]) == pytest.approx((1000, 100))
    means = [
        idx.read(bench.clients(case, 0) / "clients" / device["client"], "train").labels.mean() for device in devices
    ]
    assert means == sorted(means)
    assert {device["dropout"] for device in devices} == {0.1}
