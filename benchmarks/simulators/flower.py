"""Flower's simulation, with Ray: one process for each processor, kept between rounds, as Flower does by default."""

import itertools
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation

from benchmarks.simulators.cases import client_folders, steps_of
from benchmarks.simulators.plain import Examples, accuracy, build_model, load, train


class Flower:
    """A client is `plain.train` in a NumPyClient; its data is loaded once a process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        torch.manual_seed(0)
        self._arrays = [parameter.detach().numpy() for parameter in build_model().parameters()]

    def rounds(self, number: int) -> list[float]:
        """The seconds of each round but the first, which is not counted: it starts processes and loads data."""
        directory, clients = self._directory, len(client_folders(self._directory))
        strategy = _Timed(
            fraction_fit=1.0,
            fraction_evaluate=0.0,
            min_fit_clients=clients,
            min_available_clients=clients,
            initial_parameters=ndarrays_to_parameters(self._arrays),
        )

        def server(context: Context) -> ServerAppComponents:  # noqa: ARG001
            return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=number + 1))

        processors = len(os.sched_getaffinity(0))
        run_simulation(
            ServerApp(server_fn=server),
            ClientApp(client_fn=_client_maker(str(directory))),
            num_supernodes=clients,
            backend_config={
                "client_resources": {"num_cpus": 1},
                "init_args": {"num_cpus": processors, "include_dashboard": False, "log_to_driver": False},
            },
        )
        self._last = strategy.last
        return [end - start for start, end in itertools.pairwise(strategy.ends)]

    def accuracy(self) -> float:
        """Of the last round's model."""
        return accuracy([torch.from_numpy(array.copy()) for array in self._last], self._directory)


class _Timed(FedAvg):  # type: ignore[misc]
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.ends: list[float] = []
        self.last: list[Any] = []

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        if failures:
            raise RuntimeError(f"a client failed: {failures[0]}")
        parameters, metrics = super().aggregate_fit(server_round, results, failures)
        self.last = parameters_to_ndarrays(parameters)
        self.ends.append(time.perf_counter())
        return parameters, metrics


def _client_maker(directory: str) -> Callable[[Context], Any]:
    def make(context: Context) -> Any:
        return _Client(directory, int(context.node_config["partition-id"])).to_client()

    return make


@cache
def _examples(directory: str, client: int) -> Examples:
    return load(client_folders(Path(directory))[client])


class _Client(NumPyClient):  # type: ignore[misc]
    def __init__(self, directory: str, client: int) -> None:
        self._directory = directory
        self._client = client

    def fit(self, parameters: list[Any], config: dict[str, Any]) -> tuple[list[Any], int, dict[str, Any]]:  # noqa: ARG002
        torch.set_num_threads(1)
        examples = _examples(self._directory, self._client)
        model = build_model()
        with torch.no_grad():
            for own, given in zip(model.parameters(), parameters, strict=True):
                own.copy_(torch.from_numpy(given))
        train(model, examples, steps_of(Path(self._directory)))
        return [parameter.detach().numpy() for parameter in model.parameters()], len(examples[1]), {}
