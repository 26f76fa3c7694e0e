"""What the averager is compared with does the same work."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.contenders import inputs
from benchmarks.contenders.process import AS_DEPLOYED, ContenderError, is_present, started
from benchmarks.contenders.serve import CONTENDERS
from tests.cloud.test_template import TEMPLATE_BODY

CLIENTS = 3


def test_resnet18_is_torchvisions() -> None:
    from torchvision.models import resnet18  # not for all to wait for that collect tests

    expected = {
        name: (tuple(value.shape), value.is_floating_point()) for name, value in resnet18().state_dict().items()
    }
    found = {tensor.name: (tensor.shape, tensor.kind != "integer") for tensor in inputs.resnet18()}
    assert list(found.items()) == list(expected.items())


def test_mlp_is_the_example_tasks() -> None:
    assert inputs.parameters("mlp") == 109_386


def test_ours_has_the_memory_settings_that_the_averager_is_deployed_with() -> None:
    variables = TEMPLATE_BODY["Globals"]["Function"]["Environment"]["Variables"]
    assert {name: value for name, value in variables.items() if name.startswith("MALLOC_")} == AS_DEPLOYED


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_averages_to_the_weighted_mean_of_the_same_updates(name: str, tmp_path: Path) -> None:
    if not is_present(name):
        pytest.skip("make bench-peers installs it")
    weights = [inputs.weight(client) for client in range(CLIENTS)]
    deltas = [inputs.delta("mlp", client).astype(np.float64) for client in range(CLIENTS)]
    expected = inputs.base("mlp") + np.average(deltas, axis=0, weights=weights)
    directory, model, values = tmp_path / "updates", tmp_path / "model", tmp_path / "values.npy"
    directory.mkdir()
    with started(name, "mlp") as contender:
        contender.ask("prepare", clients=CLIENTS, directory=str(directory))
        answer = contender.ask("average", clients=CLIENTS, directory=str(directory), model=str(model))
        contender.ask("read", model=str(model), into=str(values))
    np.testing.assert_allclose(np.load(values, allow_pickle=False), expected, rtol=0, atol=1e-7)
    assert answer["seconds"] > 0


def test_contender_that_dies_is_an_error_and_no_hang(tmp_path: Path) -> None:
    with started("limit", "mlp") as contender, pytest.raises(ContenderError, match="limit ended with code 1"):
        contender.ask("average", clients=1, directory=str(tmp_path / "none"), model=str(tmp_path / "model"))
