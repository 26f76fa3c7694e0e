"""How many AWS calls a round takes, by kind, and how many of them one after another, for cohorts of several sizes.

`python -m benchmarks.aws_calls` runs rounds of simulated clients through the deployed functions. The longest chain of
serial calls is found by delaying every call by half a second more: an invocation then lasts as many half seconds longer
as calls wait for one another. The critical path is the initiator's invocation, and the averager's that closes the
round, with 30 ms a call.
"""

import statistics
import sys
from typing import Annotated

import msgspec
import numpy as np
import typer

from sandbox.function_logs import FunctionLine, function_figures, function_lines
from sandbox.polling import eventually
from sandbox.sandbox import Sandbox
from sandbox.simulated_clients import SimulatedClients

PARAMETERS = 109_386
"""Of the MLP 784-128-64-10."""

SERIAL_LATENCY_S = 0.5
_FUNCTIONS = ("initiator", "averager")
_ASSIGN = "iot-data-plane.UpdateThingShadow"
_WRITE = "s3.PutObject"
_LIMIT_S = 60.0
LATENCY_S = 0.03


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a round of one cohort takes. `calls` is by function and kind."""

    clients: int
    calls: dict[str, dict[str, float]]
    calls_per_client: float
    initiator_serial: int
    averager_serial: int
    initiator_s_at_30ms: float
    averager_s_at_30ms: float
    critical_path_s_at_30ms: float


class _Run(msgspec.Struct):
    initiator_s: float
    averager_s: float
    calls: dict[str, dict[str, float]]


def measure(clients: int, rounds: int) -> Figures:
    """The figures for a cohort of so many clients: medians over round 2 and later, when everything is warm."""
    quick, slow = _run(clients, rounds, LATENCY_S), _run(clients, rounds, SERIAL_LATENCY_S)
    total = sum(sum(kinds.values()) for kinds in quick.calls.values())
    return Figures(
        clients=clients,
        calls=quick.calls,
        calls_per_client=total / clients,
        initiator_serial=round((slow.initiator_s - quick.initiator_s) / (SERIAL_LATENCY_S - LATENCY_S)),
        averager_serial=round((slow.averager_s - quick.averager_s) / (SERIAL_LATENCY_S - LATENCY_S)),
        initiator_s_at_30ms=quick.initiator_s,
        averager_s_at_30ms=quick.averager_s,
        critical_path_s_at_30ms=quick.initiator_s + quick.averager_s,
    )


def _run(clients: int, rounds: int, latency_s: float) -> _Run:
    with Sandbox(call_latency_s=latency_s) as sandbox:
        simulated = SimulatedClients(sandbox, "figures", clients, {"weights": np.zeros(PARAMETERS, np.float32)}, rounds)
        simulated.join()
        simulated.start()
        for number in range(1, rounds + 1):
            simulated.answer(number)
        _wait_for_last_line(sandbox, rounds)
        opening = [line for line in _lines(sandbox, "initiator") if line.calls.get(_ASSIGN)]
        # The invocation that closes a round is the one that writes the model.
        closing = [line for line in _lines(sandbox, "averager") if line.calls.get(_WRITE)]
        functions = {name: function_figures(sandbox, getattr(sandbox.deployment, name)) for name in _FUNCTIONS}
        return _Run(
            initiator_s=statistics.median(line.duration_s for line in opening),
            averager_s=statistics.median(line.duration_s for line in closing),
            calls={name: figures.calls for name, figures in functions.items()},
        )


def _wait_for_last_line(sandbox: Sandbox, rounds: int) -> None:
    """An invocation that closes a round ends, and is logged, a little after the round."""

    def is_there() -> bool:
        return any(line.round == rounds and _WRITE in line.calls for line in _lines(sandbox, "averager"))

    eventually(is_there, "the averager to log that it closed the last round", _LIMIT_S)


def _lines(sandbox: Sandbox, name: str) -> list[FunctionLine]:
    return [line for line in function_lines(sandbox.aws, getattr(sandbox.deployment, name)) if line.round >= 2]


def main(
    cohorts: Annotated[list[int] | None, typer.Option("--cohort", help="Size of a cohort; may be repeated.")] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds; medians are over the second and later.")] = 5,
) -> None:
    """Print the figures as JSON."""
    figures = {}
    for clients in cohorts or [8, 40, 160]:
        figures[str(clients)] = measured = measure(clients, rounds)
        sys.stderr.write(f"{measured}\n")
    sys.stdout.write(msgspec.json.encode({"cohorts": figures}).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
