"""The arithmetic of the system that fedgrass replaces: load every model, add them up, divide.

It pickled its models. Here they are numpy's own files, which are faster to load and can't run code.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders import inputs


class Predecessor:
    """Keeps everything in memory; one .npy after another in a file."""

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture

    def prepare(self, clients: int, directory: Path) -> None:
        """Each client sends its whole model."""
        models = inputs.trained_models(self._architecture, clients)
        for path, arrays in zip(inputs.update_paths(directory, clients), models, strict=True):
            _dump(path, arrays)

    def average(self, updates: Sequence[Path], model: Path) -> None:
        """Load all, then add tensor by tensor."""
        loaded = [_load(self._architecture, path) for path in updates]
        weights = [inputs.weight(client) for client in range(len(updates))]
        total = {name: array * weights[0] for name, array in loaded[0].items()}
        for weight, arrays in zip(weights[1:], loaded[1:], strict=True):
            for name, array in arrays.items():
                total[name] = total[name] + array * weight
        _dump(model, {name: array / sum(weights) for name, array in total.items()})

    def read(self, model: Path) -> NDArray[np.float32]:
        """The floating-point tensors of the file."""
        return inputs.flat(self._architecture, _load(self._architecture, model))


def _dump(path: Path, arrays: dict[str, inputs.Array]) -> None:
    with path.open("wb") as file:
        for array in arrays.values():
            np.save(file, array, allow_pickle=False)


def _load(architecture: str, path: Path) -> dict[str, inputs.Array]:
    with path.open("rb") as file:
        return {tensor.name: np.load(file, allow_pickle=False) for tensor in inputs.ARCHITECTURES[architecture]()}
