"""simulation/networks.py: a model that is used again is no other than a new one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from components.client.trainer.learning import randomness
from components.client.trainer.local_update import GlobalModel, fresh_networks
from components.client.trainer.model import state_dict
from components.client.trainer.task.loading import load_task
from simulation.networks import ReusedNetworks
from tests.simulation.federations import TASK


def changed(change: str) -> str:
    """The task, whose build_model() changes what it has made."""
    return TASK.replace("    return nn.Sequential(", "    made = nn.Sequential(").replace(
        "nn.Linear(8, 3))", f"nn.Linear(8, 3))\n    {change}\n    return made"
    )


FREEZING = changed("made[0].weight.requires_grad_(False); made[1].eval()")
OTHERS = {
    "own module": changed("made[4] = type('Own', (nn.Linear,), {'__module__': 'task'})(8, 3)"),
    "hook": changed("made.register_forward_pre_hook(lambda *_: None)"),
    "normed": changed("nn.utils.parametrizations.weight_norm(made[0])"),
    "own evaluation": TASK + "\n\ndef evaluate(model, data):\n    return {}\n",
}


def made(tmp_path: Path, source: str) -> tuple[ReusedNetworks, GlobalModel, GlobalModel]:
    (tmp_path / "task.py").write_text(source)
    task = load_task(tmp_path)
    files = [bytearray(state_dict.dump_model(task.build_model(seed), "f")) for seed in (1, 2)]
    return ReusedNetworks(task), GlobalModel(files[0]), GlobalModel(files[1])


@pytest.mark.parametrize("source", [TASK, FREEZING])
def test_a_model_of_torchs_own_modules_is_used_again_and_trains_as_a_new_one(tmp_path: Path, source: str) -> None:
    networks, first, second = made(tmp_path, source)
    fresh = fresh_networks(load_task(tmp_path))
    kept = networks(first, 0)
    found: list[Any] = []
    for make in (networks, fresh):
        network = make(second, 0)
        assert [parameter.grad for parameter in network.parameters()] == [None] * 6
        found.append([module.training for module in network.modules()])
        found.append([parameter.requires_grad for parameter in network.parameters()])
        randomness.seed(3)
        network(torch.ones(5, 4)).sum().backward()
        found.append([value.tolist() for value in network.state_dict().values()])
        found.append([None if one.grad is None else one.grad.tolist() for one in network.parameters()])
        network.train()
    assert found[:4] == found[4:]
    assert networks(first, 0) is kept


@pytest.mark.parametrize("other", OTHERS)
def test_a_model_that_could_remember_something_is_built_anew(tmp_path: Path, other: str) -> None:
    networks, first, _ = made(tmp_path, OTHERS[other])
    assert networks(first, 0) is not networks(first, 0)
