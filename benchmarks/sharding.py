"""What sharding does for one round: time of each phase, and time and peak memory of each invocation.

`python -m benchmarks.sharding` has 40 simulated clients answer with updates of ResNet-18 through the deployed functions
on the embedded AWS, averaged by 1, 2, 4 and 8 shards, and puts beside it what is expected in AWS. Here all shards
share the processors of one machine, and S3 is one more process on them: with more shards an invocation reads less, but
neither its time nor that of all has to fall. The peak of an invocation is its process's, which has inspected updates
before.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import inputs
from cloud.averager.work.sharding import Sharding, sharding_of
from cloud.averaging.grid import grid_of
from cloud.settings import Averaging
from cloud.state.records import RoundRecord
from protocol.encodings import update_layout
from protocol.messages import ModelHeader, decode
from protocol.tensors import parse_header
from sandbox.function_logs import FunctionLine, function_lines
from sandbox.polling import eventually
from sandbox.sandbox import Sandbox
from sandbox.simulated_clients import SimulatedClients

_ARCHITECTURE = "resnet18"
_FEDERATION = "figures"
_ROUNDS = 2
_COMPLETE = "s3.CompleteMultipartUpload"
_LIMIT_S = 60.0


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One invocation of the averager: `job` is the number of its job, None if it did something else. Of its time it
    stood still for `read_s` and `write_s`, while S3 had not read or written what it needed."""

    job: int | None
    duration_s: float
    read_s: float
    write_s: float
    peak_memory_mb: float


class Phases(msgspec.Struct, frozen=True, kw_only=True):
    """Where a round's time goes, in seconds: until the last update is inspected; until the first job begins, if there
    are jobs; until the new model is there."""

    answer_s: float
    hand_out_s: float
    average_s: float


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What `sharding_of` expects of a job in AWS."""

    jobs: int
    job_s: float
    memory_mb: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One number of shards."""

    shards: int
    clients: int
    model_bytes: int
    phases: Phases
    invocations: list[Invocation]
    expected: Expected


def measure(clients: int, shards: int) -> Row:
    """The figures of the second round, when the functions are warm."""
    schema = inputs.ARCHITECTURES[_ARCHITECTURE]()
    model = inputs.named(_ARCHITECTURE, inputs.base(_ARCHITECTURE), steps=0)
    buffers = [tensor.name for tensor in schema if tensor.kind == "buffer"]
    averaging: dict[str, object] = {"shards": shards}
    with Sandbox() as sandbox:
        simulated = SimulatedClients(sandbox, _FEDERATION, clients, model, _ROUNDS, buffers, averaging)
        simulated.join()
        simulated.start()
        for number in range(1, _ROUNDS + 1):
            record = simulated.answer(number)
        lines = _lines(sandbox)
        base = sandbox.operations.models.get(record.base)
    return Row(
        shards=shards,
        clients=clients,
        model_bytes=inputs.model_bytes(_ARCHITECTURE),
        phases=_phases(record, lines),
        invocations=[
            Invocation(
                job=line.job,
                duration_s=line.duration_s,
                read_s=line.waited_s.get("read", 0.0),
                write_s=line.waited_s.get("write", 0.0),
                peak_memory_mb=line.peak_memory_mb,
            )
            for line in lines
        ],
        expected=_expected(base, record.settings.averaging, clients),
    )


def _lines(sandbox: Sandbox) -> list[FunctionLine]:
    """The averager's invocations of the last round. The last one ends, and is logged, a little after the round."""

    def look() -> list[FunctionLine] | None:
        lines = [line for line in function_lines(sandbox.aws, sandbox.deployment.averager) if line.round == _ROUNDS]
        return lines if any(_COMPLETE in line.calls for line in lines) else None

    return eventually(look, "the averager to log that it completed the last model", _LIMIT_S)


def _phases(record: RoundRecord, lines: Sequence[FunctionLine]) -> Phases:
    if record.notified_at is None or record.averaging_at is None or record.averaged_at is None:
        raise ValueError(f"round {record.round} has not been averaged: it is {record.status}")
    began = min((line.started_at for line in lines if line.job is not None), default=record.averaging_at)
    return Phases(
        answer_s=record.averaging_at - record.notified_at,
        hand_out_s=began - record.averaging_at,
        average_s=record.averaged_at - began,
    )


def _expected(base: bytes, settings: Averaging, clients: int) -> Expected:
    header = parse_header(base, len(base))
    parts = len(grid_of(header, decode(header.message, ModelHeader), 0).parts)
    sharding: Sharding = sharding_of(settings, parts, update_layout(header, "float32").data_bytes, clients)
    return Expected(jobs=sharding.shards * sharding.groups, job_s=sharding.job_s, memory_mb=sharding.memory_mb)


def _table(rows: Sequence[Row]) -> Table:
    table = Table("shards", "answer\ns", "hand out\ns", "average\ns", box=box.SIMPLE)
    for title in ("longest job\ns", "expected\ns", "highest peak\nMB", "expected\nMB"):
        table.add_column(title)
    for row in rows:
        jobs = [invocation for invocation in row.invocations if invocation.job is not None]
        longest = max((job.duration_s for job in jobs), default=row.phases.average_s)
        peak = max(invocation.peak_memory_mb for invocation in jobs or row.invocations)
        expected = row.expected
        times = (row.phases.answer_s, row.phases.hand_out_s, row.phases.average_s, longest, expected.job_s)
        table.add_row(str(row.shards), *(f"{time:.2f}" for time in times), f"{peak:.0f}", f"{expected.memory_mb:.0f}")
    return table


def main(
    clients: Annotated[int, typer.Option(min=1, help="Size of the cohort.")] = 40,
    shards: Annotated[list[int] | None, typer.Option(help="Number of shards; may be repeated.")] = None,
) -> None:
    """Print the figures as JSON."""
    rows = [measure(clients, number) for number in shards or [1, 2, 4, 8]]
    Console(stderr=True).print(_table(rows))
    sys.stdout.write(msgspec.json.encode({"rows": rows}).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
