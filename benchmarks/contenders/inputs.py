"""The models and updates that every contender gets: made from seeds, so that each process can make its own."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Kind = Literal["parameter", "buffer", "integer"]
Array = NDArray[Any]

_SEED = 20170217
_BASE_SCALE = 0.05
_DELTA_SCALE = 1e-3


class Tensor(NamedTuple):
    """One tensor of a model: float32, or int64 if it is an integer."""

    name: str
    shape: tuple[int, ...]
    kind: Kind = "parameter"

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Contender(Protocol):
    """A system that averages. Updates lie as files in its own wire form, and so does the new model.

    It is made for one architecture, and weighs update number i by `weight(i)`.
    """

    def prepare(self, clients: int, directory: Path) -> None:
        """Write the updates of so many clients, and whatever else averaging needs."""
        ...

    def average(self, updates: Sequence[Path], model: Path) -> None:
        """Average these updates, the first of those prepared, into a new file: what is timed."""
        ...

    def read(self, model: Path) -> NDArray[np.float32]:
        """The floating-point values of a model that `average` wrote, in the order of `floating`."""
        ...


def multilayer_perceptron() -> list[Tensor]:
    """784-128-64-10, 109,386 parameters, as the example task builds it."""
    tensors = []
    for layer, (inputs, outputs) in ((1, (784, 128)), (3, (128, 64)), (5, (64, 10))):
        tensors += [Tensor(f"{layer}.weight", (outputs, inputs)), Tensor(f"{layer}.bias", (outputs,))]
    return tensors


def resnet18() -> list[Tensor]:
    """ResNet-18 (He et al., 2016, table 1) in the names and order of torchvision's state_dict: 62 parameters, 40
    buffers, 20 integers."""
    tensors = [Tensor("conv1.weight", (64, 3, 7, 7)), *_batch_norm("bn1", 64)]
    inputs = 64
    for stage, outputs in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            tensors += [Tensor(f"{name}.conv1.weight", (outputs, inputs, 3, 3)), *_batch_norm(f"{name}.bn1", outputs)]
            tensors += [Tensor(f"{name}.conv2.weight", (outputs, outputs, 3, 3)), *_batch_norm(f"{name}.bn2", outputs)]
            if inputs != outputs:
                tensors.append(Tensor(f"{name}.downsample.0.weight", (outputs, inputs, 1, 1)))
                tensors += _batch_norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    return [*tensors, Tensor("fc.weight", (1000, 512)), Tensor("fc.bias", (1000,))]


def _batch_norm(name: str, channels: int) -> list[Tensor]:
    return [
        Tensor(f"{name}.weight", (channels,)),
        Tensor(f"{name}.bias", (channels,)),
        Tensor(f"{name}.running_mean", (channels,), "buffer"),
        Tensor(f"{name}.running_var", (channels,), "buffer"),
        Tensor(f"{name}.num_batches_tracked", (), "integer"),
    ]


ARCHITECTURES = {"mlp": multilayer_perceptron, "resnet18": resnet18}


def floating(architecture: str) -> list[Tensor]:
    """The tensors that are averaged as real numbers."""
    return [tensor for tensor in ARCHITECTURES[architecture]() if tensor.kind != "integer"]


def parameters(architecture: str) -> int:
    """How many floating-point values a model has."""
    return sum(tensor.size for tensor in floating(architecture))


def model_bytes(architecture: str) -> int:
    """How many bytes the tensors of a model have."""
    integers = sum(tensor.kind == "integer" for tensor in ARCHITECTURES[architecture]())
    return 4 * parameters(architecture) + 8 * integers


def weight(client: int) -> int:
    """How many examples a client has."""
    return 50 + client * 7919 % 1000


def base(architecture: str) -> NDArray[np.float32]:
    """The global model's floating-point values."""
    return _normal([_SEED], parameters(architecture), _BASE_SCALE)


def delta(architecture: str, client: int) -> NDArray[np.float32]:
    """What a client changed of the floating-point values."""
    return _normal([_SEED, client], parameters(architecture), _DELTA_SCALE)


def _normal(seed: list[int], size: int, scale: float) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).standard_normal(size, dtype=np.float32)
    values *= np.float32(scale)
    return values


def named(architecture: str, values: NDArray[np.float32], steps: int) -> dict[str, Array]:
    """Every tensor by name: the floating-point ones are views of `values`, every integer is `steps`."""
    arrays: dict[str, Array] = {}
    position = 0
    for tensor in ARCHITECTURES[architecture]():
        if tensor.kind == "integer":
            arrays[tensor.name] = np.array(steps, np.int64)
        else:
            arrays[tensor.name] = values[position : position + tensor.size].reshape(tensor.shape)
            position += tensor.size
    return arrays


def flat(architecture: str, arrays: dict[str, Array]) -> NDArray[np.float32]:
    """The floating-point values of tensors by name, in the order of `floating`."""
    return np.concatenate([np.asarray(arrays[tensor.name], np.float32).ravel() for tensor in floating(architecture)])


def trained_models(architecture: str, clients: int) -> Iterator[dict[str, Array]]:
    """What systems whose clients send whole models get: the global model and each client's change to it."""
    start = base(architecture)
    for client in range(clients):
        yield named(architecture, start + delta(architecture, client), steps=client)


def update_paths(directory: Path, clients: int) -> list[Path]:
    """Where the updates of so many clients lie."""
    return [directory / f"client-{client:04d}" for client in range(clients)]
