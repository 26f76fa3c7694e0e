"""Flower: `FedAvg.aggregate_fit`, from the messages that its clients send to the message that its server sends back.

A client's FitRes travels as protobuf, with each array in numpy's own format. Flower's newer, message-based FedAvg
(`flwr.serverapp`) does the same sums, and is slower.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays, serde
from flwr.proto.transport_pb2 import ClientMessage, Parameters
from flwr.server.strategy import FedAvg
from numpy.typing import NDArray

from benchmarks.contenders import inputs

_ROUND = 2  # in round 1 it logs a warning


class Flower:
    """Whole models; sums in float32 and in place."""

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture

    def prepare(self, clients: int, directory: Path) -> None:
        """What clients answer to a FitIns."""
        models = inputs.trained_models(self._architecture, clients)
        for client, (path, arrays) in enumerate(zip(inputs.update_paths(directory, clients), models, strict=True)):
            answer = FitRes(
                status=Status(Code.OK, ""),
                parameters=ndarrays_to_parameters(list(arrays.values())),
                num_examples=inputs.weight(client),
                metrics={},
            )
            path.write_bytes(serde.fit_res_to_proto(answer).SerializeToString())

    def average(self, updates: Sequence[Path], model: Path) -> None:
        """Decode every message, aggregate, encode."""
        results = []
        for path in updates:
            message = ClientMessage.FitRes.FromString(path.read_bytes())
            results.append((None, serde.fit_res_from_proto(message)))
        aggregated, _ = FedAvg().aggregate_fit(_ROUND, results, [])
        model.write_bytes(serde.parameters_to_proto(aggregated).SerializeToString())

    def read(self, model: Path) -> NDArray[np.float32]:
        """The floating-point tensors of the message."""
        message = serde.parameters_from_proto(Parameters.FromString(model.read_bytes()))
        names = [tensor.name for tensor in inputs.ARCHITECTURES[self._architecture]()]
        return inputs.flat(self._architecture, dict(zip(names, parameters_to_ndarrays(message), strict=True)))
