"""A round of the largest cohort that there may be, of clients with the longest names that there may be.

`python -m benchmarks.largest_cohort` has simulated clients carry out two rounds through the deployed functions: in the
second one all has a history. The last line is JSON: {"clients", "item_bytes", "limit_bytes", "opening_s",
"opening_peak_mb", "closing_s", "closing_peak_mb"}: the largest items of that round as DynamoDB counts them; the
invocation of the initiator that opened it, and that of the averager that closed it.
"""

import sys
from typing import Annotated, Any

import msgspec
import numpy as np
import typer

from cloud.settings import MAX_COHORT
from cloud.state.records import ITEM_BYTES, size_of
from sandbox.function_logs import FunctionLine, function_lines
from sandbox.polling import eventually
from sandbox.sandbox import Sandbox
from sandbox.simulated_clients import SimulatedClients

FEDERATION = "largest"
NAME_CHARACTERS = 128
PARAMETERS = 1000
_LIMIT_S = 60.0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """See the module."""

    clients: int
    item_bytes: dict[str, int]
    limit_bytes: int
    opening_s: float
    opening_peak_mb: float
    closing_s: float
    closing_peak_mb: float


def measure(clients: int) -> Figures:
    """Carry out two rounds of so many clients."""
    with Sandbox() as sandbox:
        things = [f"{number:0>{NAME_CHARACTERS}}" for number in range(clients)]
        model = {"weights": np.zeros(PARAMETERS, np.float32)}
        simulated = SimulatedClients(sandbox, FEDERATION, clients, model, rounds=2, things=things)
        simulated.join()
        simulated.start()
        simulated.answer(1)
        simulated.answer(2)
        opening = _line(sandbox, sandbox.deployment.initiator, "iot-data-plane.UpdateThingShadow")
        closing = _line(sandbox, sandbox.deployment.averager, "s3.PutObject")
        return Figures(
            clients=clients,
            item_bytes=_item_bytes(sandbox),
            limit_bytes=ITEM_BYTES,
            opening_s=round(opening.duration_s, 2),
            opening_peak_mb=round(opening.peak_memory_mb, 1),
            closing_s=round(closing.duration_s, 2),
            closing_peak_mb=round(closing.peak_memory_mb, 1),
        )


def _line(sandbox: Sandbox, function: str, call: str) -> FunctionLine:
    """What the invocation says of itself that made this call in round 2, once it is logged."""

    def look() -> FunctionLine | None:
        lines = function_lines(sandbox.aws, function)
        return next((line for line in lines if line.round == 2 and call in line.calls), None)

    return eventually(look, f"{function} to log an invocation with {call}", _LIMIT_S)


def _item_bytes(sandbox: Sandbox) -> dict[str, int]:
    dynamodb: Any = sandbox.aws.client("dynamodb")
    keys = {
        "plan": (sandbox.deployment.responses_table, {"round": f"{FEDERATION}#00000002", "response": "#plan"}),
        "notified": (sandbox.deployment.responses_table, {"round": f"{FEDERATION}#00000002", "response": "#notified"}),
    }
    found = {
        name: dynamodb.get_item(TableName=table, Key={part: {"S": value} for part, value in key.items()})["Item"]
        for name, (table, key) in keys.items()
    }
    round_key = {"federation": {"S": FEDERATION}, "round": {"N": "2"}}
    found["round"] = dynamodb.get_item(TableName=sandbox.deployment.rounds_table, Key=round_key)["Item"]
    return {name: size_of(item) for name, item in found.items()}


def main(clients: Annotated[int, typer.Option(min=1, max=MAX_COHORT)] = MAX_COHORT) -> None:
    """Print the figures as JSON."""
    sys.stdout.write(msgspec.json.encode(measure(clients)).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
