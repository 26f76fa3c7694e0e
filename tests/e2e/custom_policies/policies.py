"""Custom functions, for every choice that a federation leaves to its user."""

from collections.abc import Iterator

import numpy as np

from fedgrass.policies import Array, Client, Round, Update


def choose_clients(clients: list[Client], cohort: int, round_number: int) -> list[str]:
    return [client.thing for client in clients if client.thing != "left-out"]


def is_complete(current: Round) -> bool:
    return len(current.reports) == 2


def average(updates: Iterator[Update], model: dict[str, Array]) -> dict[str, Array]:
    change = {name: np.zeros(array.shape) for name, array in model.items()}
    for update in updates:
        for name, delta in update.delta.items():
            change[name] += update.report.describe["trust"] * delta
    return change


def next_round_delay(last: Round) -> float:
    return 1.0 if last.elapsed_s > 0 else 0.0
