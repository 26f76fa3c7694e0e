"""A state that a hook renames and copies, as wrappers for many GPUs do."""

from pathlib import Path

from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


def _strip(model: nn.Module, state, prefix, metadata) -> None:
    for name in [name for name in state if name.startswith("module.")]:
        state[name.removeprefix("module.")] = state.pop(name).detach().clone()


def _wrap(model: nn.Module, state, *arguments) -> None:
    for name in [name for name in state if not name.startswith("module.")]:
        state[f"module.{name}"] = state.pop(name)


class Wrapped(nn.Module):
    """Saves as if it were not there."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.register_state_dict_post_hook(_strip)
        self.register_load_state_dict_pre_hook(_wrap)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.module(inputs)


def build_model() -> nn.Module:
    """A wrapped perceptron."""
    return Wrapped(nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)))


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(images.flatten(1), labels)
