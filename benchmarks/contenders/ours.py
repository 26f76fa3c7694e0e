"""fedgrass: the averager, from the files that devices upload to a new model's file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders import inputs
from benchmarks.contenders.files import average_files
from cloud.settings import Averaging
from protocol import messages, tensors

_FEDERATION = "figures"


def base_path(directory: Path) -> Path:
    """Where the model lies that the updates change."""
    return directory / "base"


def write_base(architecture: str, values: NDArray[np.float32], directory: Path) -> None:
    """The model that the updates change, with these floating-point values."""
    buffers = _names(architecture, "buffer")
    header = messages.ModelHeader(federation=_FEDERATION, round=0, buffers=buffers)
    arrays = inputs.named(architecture, values, steps=0)
    base_path(directory).write_bytes(tensors.dump(arrays, _dtypes(architecture), messages.encode(header), buffers))


def _names(architecture: str, kind: inputs.Kind) -> tuple[str, ...]:
    return tuple(tensor.name for tensor in inputs.ARCHITECTURES[architecture]() if tensor.kind == kind)


def _dtypes(architecture: str) -> dict[str, str]:
    schema = inputs.ARCHITECTURES[architecture]()
    return {tensor.name: "I64" if tensor.kind == "integer" else "F32" for tensor in schema}


class Ours:
    """Changes to the model, in float32; sums in float64; finiteness and every update's layout are checked."""

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture

    def prepare(self, clients: int, directory: Path) -> None:
        """The base model, and updates as devices write them."""
        write_base(self._architecture, inputs.base(self._architecture), directory)
        dtypes, buffers = _dtypes(self._architecture), _names(self._architecture, "buffer")
        for client, path in enumerate(inputs.update_paths(directory, clients)):
            report = messages.Report(
                federation=_FEDERATION,
                round=1,
                thing=path.name,
                base="0" * 64,
                encoding="float32",
                examples=inputs.weight(client),
                steps=1,
                timings=messages.Timings(
                    accepted_at=0.0, downloaded_at=0.0, trained_at=0.0, uploading_at=0.0, train_s=0.0
                ),
            )
            change = inputs.named(self._architecture, inputs.delta(self._architecture, client), steps=client)
            path.write_bytes(tensors.dump(change, dtypes, messages.encode(report), buffers))

    def average(self, updates: Sequence[Path], model: Path) -> None:
        """Rule `weighted`, optimizer FedAvg."""
        average_files(updates, base_path(updates[0].parent), model, Averaging(rule="weighted"))

    def read(self, model: Path) -> NDArray[np.float32]:
        """The floating-point tensors of the file."""
        return inputs.flat(self._architecture, tensors.load(model.read_bytes())[1])
