"""What a round will take, and what it costs: sizes times what was measured of rounds. Pure.

It is the round that goes well: each client sends a good update, alone. How a model is shared out and how updates are
read is asked of the averager's code. tests/cloud/test_planned_calls.py holds the calls against those of real rounds.
"""

import math
from collections.abc import Mapping

import msgspec

from cloud.averager.responses.fetching import FETCHED_BYTES
from cloud.averager.work.file_names import files_of
from cloud.averager.work.object_reader import ObjectReader
from cloud.averager.work.sharding import (
    FIXED_MB,
    MEMORY_MB,
    READ_BYTES_PER_S,
    Sharding,
    read_s,
    sharding_of,
    updates_read,
)
from cloud.averaging.blocks import Slices, blocks_of
from cloud.averaging.grid import grid_of
from cloud.averaging.optimizers import vectors_of
from cloud.averaging.rules import rule_of
from cloud.averaging.update_rows import block_elements
from cloud.pricing.prices import GB, Prices
from cloud.settings import Averaging
from protocol.encodings import update_layout
from protocol.messages import Encoding, ModelHeader, encode
from protocol.tensors import Header
from protocol.upload_parts import IN_PARTS_BYTES, PART_BYTES

Amounts = Mapping[str, float]

# Calls by service, measured by `python -m benchmarks.aws_calls` and on rounds of several invocations. What is read of
# an update at a time is a `piece`; a file of the model that has `parts` is a multipart upload. A round that several
# invocations average is `shared`: it has a `job` for each, by `stages`, and some are `handed on` to the next one.
# DynamoDB's units follow from the sizes of items: two for a kB that a transaction writes, one for 4 kB that are read,
# and each look at the responses reads those of all clients.
# Of a small fleet that is more than the round's clients, each record is read; of a large one some names, which may be
# old, and the records of the pool, each as if it had 4 kB.
# One with variance reduction is `recalling`: who looks at the responses reads which update of each client was the last.
CLIENT_BYTES, _NAME_BYTES = 250, 100
_TAKEN: dict[str, Amounts] = {
    "dynamodb": {"round": 8, "client": 2.01, "job": 3, "stage": 2, "shared": 2, "window": 1, "batch": 1},
    "iot-data-plane": {"round": 2, "client": 1, "stage": 1},
    "s3 reads": {"round": 1, "client": 1, "piece": 1, "part": 1, "job": 1, "stage": 1, "handed on": 2, "recall": 1},
    "s3 writes": {"file at once": 1, "file in parts": 3, "part": 1, "in parts": 4, "handed on": 1, "recalling": 1},
    "sqs": {"round": 3, "job": 1, "stage": 1, "shared": 1},
    "write units": {"round": 26, "client": 10.3, "job": 4, "shared": 4},
    "read units": {
        "round": 10,
        "client": 1.1,
        "job": 2,
        "stage": 2,
        "response": 0.36,
        "other client": CLIENT_BYTES / 4096,
        "name": _NAME_BYTES / 8192,
        "record": 1,
    },
}
_CALLED = ("dynamodb", "iot-data-plane", "s3 reads", "s3 writes", "sqs")

# What a device does in a round, over MQTT: its shadow's delta, a get and its answer, four reports (accepted, training,
# uploading, done), another get to see that they have arrived, and a PUBACK for what was delivered. A shadow operation
# is metered by the kB. The rule for outcomes looks at every update of a shadow.
_MESSAGES, _SHADOW_OPERATIONS, SHADOW_KB, _SHADOW_UPDATES = 12, 7, 2, 5

EVALUATION_BYTES = 1000
"""How long the file of an evaluation is: about one metric more or less makes no difference."""

CALL_S = 0.03
"""How long a call to AWS takes that moves few bytes: as benchmarks.aws_calls has them."""

INITIATOR_MB = 1024
LOG_BYTES = 2000
"""Of an invocation, with Lambda's own lines."""

_PARALLEL_CALLS, _PARALLEL_JOBS, _BATCH = 128, 16, 10
_INSPECT_BYTES_PER_S = _HASH_BYTES_PER_S = 0.5e9


class FleetReads(msgspec.Struct, frozen=True, kw_only=True):
    """What opening a round reads of clients beside its cohort: all records of `others`; or `names` in `windows`, and
    some `records` in `batches`."""

    others: int = 0
    names: int = 0
    windows: int = 0
    records: int = 0
    batches: int = 0


_COHORT_ALONE = FleetReads()


class RoundForecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a round will take. `seconds` is by phase, of averaging and what goes around it, without the devices' own
    time; `calls` by service; `dollars` by what is paid for. `written_bytes` are those of all files of its model."""

    clients: int
    model_bytes: int
    offered_bytes: int
    update_bytes: int
    written_bytes: int
    parts: int
    sharding: Sharding = msgspec.field(name="plan")
    invocations: dict[str, int]
    seconds: dict[str, float]
    memory_mb: dict[str, float]
    limit_mb: int
    calls: dict[str, int]
    dollars: dict[str, float]


def forecast_round(
    model: Header,
    about: ModelHeader,
    clients: int,
    settings: Averaging,
    encoding: Encoding,
    prices: Prices,
    *,
    has_bfloat16: bool = False,
    reads: FleetReads = _COHORT_ALONE,
    evaluates: bool = False,
) -> RoundForecast:
    """All that can be said of a round with so many clients before there is one; `has_bfloat16` if devices download a
    bfloat16 copy of the model. If it `evaluates`, they don't train.

    Raises:
        TooMuchWorkError: no invocation could do its share in its time.
    """
    grid = grid_of(model, about, vectors_of(settings), has_bfloat16=has_bfloat16)
    layout = update_layout(msgspec.structs.replace(model, message=encode(about).decode()), encoding)
    update, parts, last = EVALUATION_BYTES if evaluates else layout.data_bytes, len(grid.parts), grid.parts[-1]
    shared = sharding_of(Averaging() if evaluates else settings, parts, update, clients)
    jobs = {stage: shared.shards * (shared.groups if stage == "sums" else 1) for stage in shared.stages}
    files = () if evaluates else files_of(settings, grid.vectors, has_bfloat16=has_bfloat16)
    model_bytes = len(grid.model_start(1)) + last.end
    offered = len(grid.bfloat16_start(1)) + last.bfloat16[1] if has_bfloat16 else model_bytes
    downloaded = offered + (model_bytes if evaluates and settings.ema else 0)
    written = sum(
        {"optimizer": grid.optimizer_range(last)[1], "bfloat16": offered}.get(file, model_bytes) for file in files
    )
    blocks = blocks_of(
        grid.parts,
        block_elements(
            encoding, clients, ObjectReader.block_bytes, of_all_clients=rule_of(settings.rule).sees == "coordinates"
        ),
    )
    pieces = 0 if evaluates else sum(len(Slices(layout, block).ranges) for block in blocks)

    recalls = settings.variance_reduction and not evaluates
    handed_out, stages = (0, 0) if shared.alone else (sum(jobs.values()), len(jobs))
    in_parts = len(files) if parts > 1 else 0
    times: Amounts = {
        "round": 1,
        "client": clients,
        "piece": updates_read(settings, clients) * pieces * len(jobs.keys() - {"sums"}),
        "file at once": len(files) - in_parts,
        "file in parts": in_parts,
        "part": in_parts * parts,
        "in parts": min(in_parts, 1),
        "shared": min(stages, 1),
        "stage": stages,
        "job": handed_out,
        "handed on": max(0, handed_out - jobs["parts"]),
        "recalling": int(recalls),
        "recall": recalls * (1 + stages + handed_out),
        "response": clients * (1 + stages + handed_out),
        "other client": reads.others,
        "name": reads.names,
        "window": reads.windows,
        "record": reads.records,
        "batch": reads.batches,
    }
    taken = {what: sum(each * times[of] for of, each in amounts.items()) for what, amounts in _TAKEN.items()}
    looks = 3 + stages if stages else 2
    invocations = {"initiator": 1, "averager": clients + handed_out + len(files) + looks}

    seconds = {
        "open": CALL_S * (4 + bool(reads.names) + math.ceil(clients / _PARALLEL_CALLS)),
        "inspect one update": CALL_S * 2 + update / READ_BYTES_PER_S + update / _INSPECT_BYTES_PER_S,
        "plan": CALL_S * 4 if stages else 0.0,
    }
    billed_s = clients * seconds["inspect one update"] + looks * CALL_S
    for stage, count in jobs.items():
        job_s = read_s(shared.read_bytes) + CALL_S * (5 if stages else 2)
        job_s += 2 * written / shared.shards / READ_BYTES_PER_S if stage == "parts" else 0.0
        seconds[f"average: {stage}"] = math.ceil(count / _PARALLEL_JOBS) * job_s
        billed_s += count * job_s
    checked = model_bytes / READ_BYTES_PER_S + model_bytes / _HASH_BYTES_PER_S + CALL_S * 4
    seconds |= {"complete and check": checked if stages else 0.0, "close": CALL_S * 2}
    billed_s += sum(seconds[phase] for phase in ("plan", "complete and check", "close"))
    gb_s = (billed_s * MEMORY_MB + seconds["open"] * INITIATOR_MB) / 1024

    at_once = FETCHED_BYTES // max(1, 4 * layout.n_float + 8 * layout.n_int)
    inspected = min(_BATCH, clients, max(1, at_once) + 1) * update
    uploads = clients * (2 + math.ceil(update / PART_BYTES) if update >= IN_PARTS_BYTES else 1)
    dollars = {
        "Lambda": prices.lambda_gb_s.of(gb_s) + prices.lambda_request.of(sum(invocations.values())),
        "S3 requests": prices.s3_write.of(uploads + taken["s3 writes"])
        + prices.s3_read.of(clients + taken["s3 reads"]),
        "S3 storage: updates for 30 days, models for a month": prices.s3_gb_month.of((clients * update + written) / GB),
        "models sent to devices": prices.data_out_gb.of(clients * downloaded / GB),
        "DynamoDB": prices.dynamodb_write.of(taken["write units"]) + prices.dynamodb_read.of(taken["read units"]),
        # A message is sent, received and deleted; S3 sends one for each object. A retained one is metered twice.
        "SQS": prices.sqs_request.of(3 * (taken["sqs"] + clients + len(files))),
        "IoT Core": prices.iot_message.of(_MESSAGES * clients + 2 * (taken["iot-data-plane"] - clients))
        + prices.iot_shadow.of(_SHADOW_OPERATIONS * SHADOW_KB * clients)
        + prices.iot_rule.of(_SHADOW_UPDATES * clients),
        "logs": prices.log_gb.of(sum(invocations.values()) * LOG_BYTES / GB),
    }
    return RoundForecast(
        clients=clients,
        model_bytes=model_bytes,
        offered_bytes=downloaded,
        update_bytes=update,
        written_bytes=written,
        parts=parts,
        sharding=shared,
        invocations=invocations,
        seconds={phase: phase_s for phase, phase_s in seconds.items() if phase_s},
        memory_mb={"inspecting": FIXED_MB + inspected / 2**20, "averaging": shared.memory_mb},
        limit_mb=MEMORY_MB,
        calls={service: math.ceil(taken[service]) for service in _CALLED},
        dollars=dollars,
    )
