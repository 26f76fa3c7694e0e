"""What opening a round takes in fleets of several sizes, for a cohort of one size: processor time, time, reads.

`python -m benchmarks.large_fleet` puts so many clients into the clients table of the embedded AWS, and the initiator's
code opens two rounds of a federation in this process. The first one counts the fleet, as one in each hour does.
Processor time is that of the initiator's code; time is also that of the embedded AWS, which sorts the whole fleet for
each query. `reads` are the items that DynamoDB looks at, `calls` those to AWS. The last line is JSON: {"cohort",
"policy", "fleets": {"1000": {"open_cpu_s", "open_s", "reads", "calls", "first_open_cpu_s", "first_open_s",
"first_reads"}, ...}}.
"""

import random
import sys
import time
from typing import Annotated

import msgspec
import numpy as np
import typer

from cloud.initiator.opening import open_round
from cloud.initiator.selection.cohort import select
from cloud.initiator.selection.drawing import pool_of
from cloud.settings import MAX_COHORT, Federation, LocalTraining, Selection, SelectionPolicyName
from cloud.state.records import ClientRecord
from protocol.messages import ModelHeader, encode
from protocol.tensors import dump
from sandbox.many_clients import put_clients
from sandbox.own_services import OwnServices
from sandbox.sandbox import Sandbox
from sandbox.simulated_clients import HELLO, SimulatedDevices

SIZES = (1_000, 10_000, 100_000)
_ROUNDS = (1, 2)
_THREADS = 128  # as the functions have


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What opening a round of a fleet took; `first_...` is of the first round, the others are of the second."""

    open_cpu_s: float
    open_s: float
    reads: int
    calls: int
    first_open_cpu_s: float
    first_open_s: float
    first_reads: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """See the module."""

    cohort: int
    policy: SelectionPolicyName
    fleets: dict[str, Opening]


class _Took(msgspec.Struct):
    cpu_s: float
    seconds: float
    reads: int
    calls: int


def measure(sandbox: Sandbox, clients: int, cohort: int, policy: SelectionPolicyName) -> Opening:
    """Open two rounds of so many clients."""
    name = f"fleet-of-{clients}"
    chance = random.Random(0)  # noqa: S311 - reproducible, not secret
    fleet = [
        ClientRecord(
            federation=name,
            thing=f"device-{number:06d}",
            turnaround_s=round(chance.uniform(10, 500), 3),
            last_seen=time.time(),
            component_version=HELLO.component_version,
            architecture=HELLO.architecture,
            memory_bytes=HELLO.memory_bytes,
            cpu_count=HELLO.cpu_count,
            examples=HELLO.examples,
        )
        for number in range(clients)
    ]
    put_clients(sandbox.aws.client("dynamodb"), sandbox.deployment.clients_table, fleet)
    settings = Federation(
        name=name,
        rounds=len(_ROUNDS),
        training=LocalTraining(steps=1, batch_size=1, learning_rate=0.1),
        deadline_s=3600,
        selection=Selection(policy=policy, cohort=cohort),
    )
    devices = SimulatedDevices(sandbox.aws, sandbox.deployment, name)
    model = {"w": np.zeros(10, np.float32)}
    devices.make(settings, dump(model, {"w": "F32"}, encode(ModelHeader(federation=name, round=0))))
    first, second = (_open(sandbox, devices, settings, fleet, number) for number in _ROUNDS)
    return Opening(
        open_cpu_s=second.cpu_s,
        open_s=second.seconds,
        reads=second.reads,
        calls=second.calls,
        first_open_cpu_s=first.cpu_s,
        first_open_s=first.seconds,
        first_reads=first.reads,
    )


def _open(
    sandbox: Sandbox, devices: SimulatedDevices, settings: Federation, fleet: list[ClientRecord], number: int
) -> _Took:
    """Open a round, and abort it. Only the things that it selects have to be there."""
    pool = pool_of({client.thing: client for client in fleet}, settings, number)
    expected = [member.thing for member in select(pool.clients, settings.selection, number, known=pool.known)]
    for thing in expected:
        devices.register(thing)
    own = OwnServices(sandbox.aws, sandbox.deployment, _THREADS)
    record = own.operations.federations.change_status(settings.name, "running", ("ready", "paused"))
    own.calls.clear()
    own.read, before, cpu_before = 0, time.perf_counter(), time.process_time()
    open_round(own.services, record.next_round)
    took = _Took(time.process_time() - cpu_before, time.perf_counter() - before, own.read, own.calls.total())
    opened = own.operations.rounds.get(settings.name, number)
    if [member.thing for member in opened.cohort] != expected or opened.notified_at is None:
        raise RuntimeError(f"round {number} of {settings.name} is not the one that was to open")
    own.operations.pause(settings.name)
    own.operations.abort_round(settings.name, "measured")
    return took


def main(
    size: Annotated[list[int] | None, typer.Option(min=1, help="How many clients; may be given again.")] = None,
    cohort: Annotated[int, typer.Option(min=1, max=MAX_COHORT)] = 100,
    policy: Annotated[SelectionPolicyName, typer.Option()] = "random",
) -> None:
    """Print the figures as JSON."""
    with Sandbox() as sandbox:
        fleets = {str(clients): measure(sandbox, clients, cohort, policy) for clients in size or SIZES}
    figures = Figures(cohort=cohort, policy=policy, fleets=fleets)
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
