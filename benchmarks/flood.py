"""What one device costs that sends without end: updates that do not count, to the round that is open and to rounds
that never were.

`python -m benchmarks.flood` has a client of a round upload the same junk again and again, half of it under the round's
key and half under others, while the other clients train; then these answer. In the next round it does the same, and an
operator aborts the round while it waits in the queue. All goes through the deployed functions.

The last line is JSON: {"junk", "invocations", "calls_a_junk", "ms_a_junk", "rows", "round_s", "peak_mb", "waiting",
"abort_s"}: how many junk uploads there were; the averager's invocations until all were refused, and of these the AWS
calls and the time by junk; the items that they left in the responses table; how long the round took from the first good
update on; and the averager's peak memory; how much junk waited when the operator aborted, and how long that took.
"""

import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import msgspec
import numpy as np
import typer

from protocol import names
from sandbox.function_logs import function_lines
from sandbox.polling import eventually
from sandbox.sandbox import Sandbox
from sandbox.simulated_clients import SimulatedClients

PARAMETERS = 109_386
"""Of the MLP 784-128-64-10."""

FEDERATION, CLIENTS = "flood", 8
_LIMIT_S = 600.0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """See the module."""

    junk: int
    invocations: int
    calls_a_junk: float
    ms_a_junk: float
    rows: int
    round_s: float
    peak_mb: float
    waiting: int
    abort_s: float


def measure(junk: int) -> Figures:
    """Flood a round with so many uploads."""
    with Sandbox() as sandbox:
        model = {"weights": np.zeros(PARAMETERS, np.float32)}
        clients = SimulatedClients(sandbox, FEDERATION, CLIENTS, model, rounds=3)
        clients.join()
        clients.start()
        clients.answer(1)
        clients.opened(2)
        before = len(function_lines(sandbox.aws, sandbox.deployment.averager))
        _send(sandbox, clients.things[0], 2, junk)
        eventually(lambda: not _waiting(sandbox), "the averager's queue to be empty", _LIMIT_S)
        lines = function_lines(sandbox.aws, sandbox.deployment.averager)[before:]
        refused = [clients.responses_to(number).refused for number in (0, 2)]
        answering_at = time.time()
        closed_at = clients.answer(2).closed_at or math.inf
        round_s = closed_at - answering_at  # not when it is seen, which may be later
        clients.opened(3)
        _send(sandbox, clients.things[0], 3, junk)
        waiting = _waiting(sandbox)
        started = time.monotonic()
        sandbox.operations.abort_round(FEDERATION, "flooded", _LIMIT_S)
        return Figures(
            junk=junk,
            invocations=len(lines),
            calls_a_junk=round(sum(sum(line.calls.values()) for line in lines) / junk, 2),
            ms_a_junk=round(1000 * sum(line.duration_s for line in lines) / junk, 2),
            rows=sum(len(responses) for responses in refused),
            round_s=round(round_s, 2),
            peak_mb=round(max(line.peak_memory_mb for line in lines), 1),
            waiting=waiting,
            abort_s=round(time.monotonic() - started, 2),
        )


def _send(sandbox: Sandbox, thing: str, current: int, junk: int) -> None:
    s3, body = sandbox.aws.client("s3"), bytes(4 * PARAMETERS)
    life = sandbox.operations.federations.get(FEDERATION).life

    def upload(number: int) -> None:
        round_number = current if number % 2 else 1000 + number
        key = names.update_key(FEDERATION, round_number, thing, life)
        s3.put_object(Bucket=sandbox.deployment.bucket, Key=key, Body=body)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(upload, range(junk)))


def _waiting(sandbox: Sandbox) -> int:
    """How many messages are in the averager's queue, or are being worked on."""
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = sandbox.deployment.updates_queue
    attributes = sandbox.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
    return sum(int(attributes[count]) for count in counts)


def main(junk: Annotated[int, typer.Option(min=1, help="How many updates that do not count.")] = 5000) -> None:
    """Print the figures as JSON."""
    sys.stdout.write(msgspec.json.encode(measure(junk)).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
