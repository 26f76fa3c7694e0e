"""Which AWS calls a round makes, by function and kind, counted from what the functions do. Pure.

It is the round that goes well: every client of the cohort sends a good update, nobody is interrupted, and the execution
environments know the model's header already. Updates are read twice, though what inspected them may have them in memory
still. Names are those of botocore, as `calls` in the functions' own lines has them (cloud/metrics.py).
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from cloud.averager.work.files import PIECE_BYTES, files_of
from cloud.averager.work.inputs import HEAD_BYTES, block_elements
from cloud.averager.work.sharding import Plan
from cloud.averaging.applying import FILES, File
from cloud.averaging.blocks import Block, Slices, blocks_of
from cloud.averaging.combining import groups_of
from cloud.averaging.grid import MIN_PART_BYTES, Grid, Part
from cloud.averaging.rules import is_robust
from cloud.settings import Averaging
from cloud.state.rounds import ROOM_AT_END
from cloud.state.transactions import TRANSACTION_ITEMS
from protocol.encodings import UpdateLayout

_PAGE_BYTES = 1 << 20
"""What a page of a DynamoDB query holds."""

CLIENT_BYTES, RESPONSE_BYTES = 350, 1300
"""About what an item of the clients table and one of the responses table have."""


class Round(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A round that will be averaged as planned. Its updates come in by so many `deliveries`, invocations of the
    averager."""

    settings: Averaging
    layout: UpdateLayout
    grid: Grid
    plan: Plan
    clients: int
    deliveries: int

    @property
    def model_bytes(self) -> int:
        """Size of the new model's file."""
        return len(self.grid.model_start(1)) + self.grid.parts[-1].end

    @property
    def offered_bytes(self) -> int:
        """Size of what each device downloads."""
        if not self.grid.copied:
            return self.model_bytes
        return len(self.grid.copy_start(1)) + self.grid.parts[-1].copy[1]

    @property
    def files(self) -> tuple[File, ...]:
        """The files that the round writes."""
        return files_of(self.settings, self.grid.vectors, copied=self.grid.copied)

    @property
    def jobs(self) -> int:
        """How many jobs other invocations do."""
        if self.plan.alone:
            return 0
        return sum(self.plan.shards * (self.plan.groups if stage == "sums" else 1) for stage in self.plan.stages)

    @property
    def looks(self) -> int:
        """How often the round is looked at when its deadline, or a lease that was taken, would have ended."""
        return 2 if self.plan.alone else 3 + len(self.plan.stages)


def initiator(clients: int) -> Counter[str]:
    """Of the invocation that opens the round."""
    return Counter(
        {
            "dynamodb.GetItem": 1,
            "dynamodb.Query": _pages(clients, CLIENT_BYTES),
            "dynamodb.TransactWriteItems": 2,
            "iot-data-plane.Publish": 1,
            "iot-data-plane.UpdateThingShadow": clients,
            "sqs.SendMessage": 1,
        }
    )


def averager(planned: Round) -> Counter[str]:
    """Of all invocations that inspect, average and close the round."""
    calls = Counter(
        {
            "s3.GetObject": planned.clients,
            "dynamodb.BatchGetItem": planned.deliveries,
            "dynamodb.TransactWriteItems": planned.deliveries,
        }
    )
    calls += _entered(planned, answers=True)
    if planned.plan.alone:
        calls += _uploads(planned, begin=True) + _distances(planned, planned.grid.parts) + _parts(planned)
    else:
        calls += _uploads(planned, begin=True) + _handed_out(planned)
    calls += _uploads(planned, begin=False)
    histories = math.ceil(max(0, planned.clients - ROOM_AT_END) / TRANSACTION_ITEMS)
    calls += Counter({"dynamodb.TransactWriteItems": histories + 1})
    return calls + _followed_up(planned)


def later(planned: Round) -> Counter[str]:
    """Of the looks at the round: they find that it has ended."""
    return Counter({"dynamodb.BatchGetItem": planned.looks})


def _pages(items: int, size: int) -> int:
    return max(1, math.ceil(items * size / _PAGE_BYTES))


def _entered(planned: Round, *, answers: bool) -> Counter[str]:
    """What an invocation does first that takes the round's lease."""
    calls = Counter({"s3.GetObject": 1, "sqs.SendMessage": 1})
    if answers:
        calls["dynamodb.Query"] = _pages(planned.clients, RESPONSE_BYTES)
    return calls


def _handed_out(planned: Round) -> Counter[str]:
    """From the plan being written to the last job's end."""
    calls = Counter({"dynamodb.TransactWriteItems": 1})
    for number, stage in enumerate(planned.plan.stages):
        jobs = planned.plan.shards * (planned.plan.groups if stage == "sums" else 1)
        calls += _entered(planned, answers=number > 0)
        calls["iot-data-plane.Publish"] += 1
        calls["sqs.SendMessage"] += jobs
        calls["dynamodb.BatchGetItem"] += jobs
        calls["dynamodb.Query"] += jobs * _pages(planned.clients, RESPONSE_BYTES)
        calls["dynamodb.TransactWriteItems"] += jobs
        calls["s3.GetObject"] += jobs
        if stage == "distances":
            calls += _distances(planned, planned.grid.parts)
            calls["s3.PutObject"] += jobs
        elif stage == "sums":
            calls["s3.PutObject"] += planned.plan.shards * len(groups_of(range(planned.clients)))
            calls["s3.GetObject"] += _update_reads(planned, planned.clients, of_all_clients=False)
        else:
            calls += _parts(planned)
            if "distances" in planned.plan.stages:
                calls["s3.GetObject"] += jobs * jobs
    calls += _entered(planned, answers=True)
    calls["s3.GetObject"] += math.ceil(planned.model_bytes / PIECE_BYTES)
    if planned.grid.copied:
        calls["s3.GetObject"] += math.ceil(planned.offered_bytes / PIECE_BYTES)
    return calls


def _distances(planned: Round, parts: Sequence[Part]) -> Counter[str]:
    if planned.settings.rule not in ("krum", "multi_krum"):
        return Counter()
    return Counter({"s3.GetObject": _update_reads(planned, planned.clients, of_all_clients=True, parts=parts)})


def _parts(planned: Round) -> Counter[str]:
    """Of reading what the new model is made of, and of writing its parts."""
    rule, grid = planned.settings.rule, planned.grid
    if rule == "own":
        reads = planned.clients + 1
    elif "sums" in planned.plan.stages:
        elements = block_elements(planned.layout.encoding, planned.clients, of_all_clients=False)
        reads = len(list(blocks_of(grid.parts, elements))) * len(groups_of(range(planned.clients)))
    else:
        kept = {"krum": 1, "multi_krum": max(1, planned.clients - planned.settings.byzantine)}
        if rule in kept:
            reads = _update_reads(planned, kept[rule], of_all_clients=True, kind="parameters")
            reads += _update_reads(planned, planned.clients, of_all_clients=True, kind="values")
        else:
            reads = _update_reads(planned, planned.clients, of_all_clients=is_robust(rule))
    filled = [part for part in grid.parts if part.pieces]
    in_head = min(planned.model_bytes, HEAD_BYTES) - len(grid.model_start(1))
    reads += sum(part.end > in_head for part in filled) + (len(planned.files) - 1 - planned.grid.copied) * len(filled)
    write = "s3.PutObject" if len(grid.parts) == 1 else "s3.UploadPart"
    return Counter({"s3.GetObject": reads, write: len(grid.parts) * len(planned.files)})


def _update_reads(
    planned: Round,
    clients: int,
    *,
    of_all_clients: bool,
    parts: Sequence[Part] | None = None,
    kind: Literal["parameters", "values"] | None = None,
) -> int:
    elements = block_elements(planned.layout.encoding, planned.clients, of_all_clients=of_all_clients)
    blocks: Iterable[Block] = blocks_of(planned.grid.parts if parts is None else parts, elements)
    if kind is not None:
        blocks = (block.of_parameters if kind == "parameters" else block.of_values for block in blocks)
    return clients * sum(len(Slices(planned.layout, block).ranges) for block in blocks)


def _uploads(planned: Round, *, begin: bool) -> Counter[str]:
    if len(planned.grid.parts) == 1:
        return Counter()
    files = len(planned.files)
    if begin:
        return Counter({"s3.CreateMultipartUpload": files})
    return Counter(
        {"s3.ListParts": files * math.ceil(len(planned.grid.parts) / 1000), "s3.CompleteMultipartUpload": files}
    )


def _followed_up(planned: Round) -> Counter[str]:
    calls = Counter({"sqs.SendMessage": 1, "iot-data-plane.Publish": 1})
    if planned.model_bytes > MIN_PART_BYTES:
        calls["s3.ListMultipartUploads"] = len(FILES)
    return calls
