"""What numpy can do at best: one buffer read and one multiply-add per update, in float32, checked by nobody.

Updates are bare float32 values. All buffers are there before the clock starts, so that nothing but the reading, the
arithmetic and the writing of the new model is timed.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders import inputs


class Limit:
    """Adds whole files."""

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture
        self._base = inputs.base(architecture)
        # Written to once, so that the pages are there.
        self._read, self._product, self._total = np.ones((3, inputs.parameters(architecture)), np.float32)

    def prepare(self, clients: int, directory: Path) -> None:
        """One file of float32 a client."""
        for client, path in enumerate(inputs.update_paths(directory, clients)):
            path.write_bytes(inputs.delta(self._architecture, client).data)

    def average(self, updates: Sequence[Path], model: Path) -> None:
        """Read, multiply, add to the base; then write."""
        read, product, total = self._read, self._product, self._total
        total[:] = self._base
        weights = [inputs.weight(client) for client in range(len(updates))]
        shares = np.array(weights, np.float32) / np.float32(sum(weights))
        for path, share in zip(updates, shares, strict=True):
            with path.open("rb", buffering=0) as file:
                file.readinto(read.data)
            np.multiply(read, share, out=product)
            np.add(total, product, out=total)
        model.write_bytes(total.data)

    def read(self, model: Path) -> NDArray[np.float32]:
        """The file as it is."""
        return np.fromfile(model, np.float32)
