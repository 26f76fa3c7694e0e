"""What a round will take: how it is averaged, its calls, its time, its memory, its price. Pure functions of sizes."""

import math
from collections import Counter
from pathlib import Path

import msgspec

from cli.planning import calls, prices
from cli.planning.calls import Round
from cloud import metrics
from cloud.averager.responses.receiving import FETCHED_BYTES
from cloud.averager.work.sharding import FIXED_MB, MEMORY_MB, READ_BYTES_PER_S, Plan, plan, read_s
from cloud.averaging import optimizers
from cloud.averaging.combining import groups_of
from cloud.averaging.grid import grid_of
from cloud.settings import Averaging
from components.client.trainer.s3.resumable_upload import PART_BYTES
from components.client.trainer.s3.transfer import IN_PARTS_BYTES
from protocol.encodings import update_layout
from protocol.messages import Encoding, ModelHeader, decode, encode
from protocol.tensors import Header, TensorSpec, encode_header, header_length, parse_header

INITIATOR_MB = 1024
"""What an initiator has."""

CALL_S = 0.03
"""How long a call to AWS takes that moves few bytes."""

RECONCILE_S = 300
"""How often a device asks for its shadow, if its configuration does not say otherwise (`reconcile_s`)."""

_PARALLEL_CALLS = 128
_PARALLEL_JOBS = 16
_BATCH = 10
_HASH_BYTES_PER_S = 0.5e9
_INSPECT_BYTES_PER_S = 0.5e9

# What a device does in a round, over MQTT: its shadow's delta, a get and its answer, four reports (accepted, training,
# uploading, done), another get to see that they have arrived, and a PUBACK for what was delivered. Each shadow
# operation is metered in steps of 1 kB.
_MESSAGES = 12
_SHADOW_OPERATIONS = 7
_SHADOW_KB = 2
_SHADOW_UPDATES = 5

_ROUND_KB, _FEDERATION_KB, _PLAN_KB = 2, 2, 2
_MEMBER_KB, _NOTIFIED_KB = 0.09, 0.04
_READ_KB = 4

_QUEUES, _POLLERS, _POLL_S = 5, 5, 20
_MONTH_S = 30 * 86_400
_WAKE_S = 300
METRICS = sum(len(metrics.OF_EVERY_INVOCATION) + len(own) for own in metrics.OF_FUNCTION.values())
ALARMS = 7
"""What template.yaml has of them; each looks at one metric."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a round will take. `seconds` is by phase, of averaging and what goes around it, without the devices' own
    time; `calls` by function and kind; `dollars` by what is paid for. `month` is what a month costs besides, whether
    there are rounds or not; `keep` is what the files of one round's model cost each month that they are kept."""

    clients: int
    model_bytes: int
    offered_bytes: int
    update_bytes: int
    rule: str
    encoding: Encoding
    parts: int
    plan: Plan
    invocations: dict[str, int]
    seconds: dict[str, float]
    memory_mb: dict[str, float]
    limit_mb: int
    calls: dict[str, dict[str, int]]
    dollars: dict[str, float]
    dollars_a_round: float
    dollars_a_thousand_rounds: float
    keep: float
    month: dict[str, float]
    region: str = prices.REGION
    price_list: tuple[prices.Price, ...] = prices.ALL


def model_of(size: int) -> Header:
    """The header of a model of so many bytes of float32, in one tensor, if nothing more is known of it."""
    elements = max(1, math.ceil(size / 4))
    tensors = (TensorSpec("model", "F32", (elements,), 0, 4 * elements),)
    return Header(tensors, len(encode_header(tensors, "")), "")


def headers_of(model: Path) -> tuple[Header, ModelHeader]:
    """What a model's file says of its tensors, and of itself; nothing of the latter, if fedgrass did not write it.

    Raises:
        InvalidTensorsError: it is no safetensors file.
        InvalidMessageError: what it says of itself can't be read.
    """
    with model.open("rb") as file:
        length = header_length(file.read(8))
        file.seek(0)
        header = parse_header(file.read(length), model.stat().st_size)
    return header, decode(header.message, ModelHeader) if header.message else ModelHeader(federation="f", round=0)


def round_of(
    model: Header,
    about: ModelHeader,
    clients: int,
    settings: Averaging,
    encoding: Encoding,
    deliveries: int | None = None,
    *,
    copied: bool = False,
) -> Round:
    """A round to come; `copied` if devices download a copy in bfloat16. Unless `deliveries` says it, each update
    comes alone: the most that there can be.

    Raises:
        TooMuchWorkError: no invocation could do its share in its time.
    """
    grid = grid_of(model, about, len(optimizers.state_names(settings.optimizer)), copied=copied)
    layout = update_layout(msgspec.structs.replace(model, message=encode(about).decode()), encoding)
    return Round(
        settings=settings,
        layout=layout,
        grid=grid,
        plan=plan(settings, len(grid.parts), layout.data_bytes, clients),
        clients=clients,
        deliveries=clients if deliveries is None else deliveries,
    )


def forecast(planned: Round) -> Forecast:
    """All that can be said of a round before there is one."""
    by_function = {
        "initiator": calls.initiator(planned.clients),
        "averager": calls.averager(planned),
        "later": calls.later(planned),
    }
    # The averager is told of each file of the model as well, as if it were an update.
    told = planned.deliveries + planned.jobs + len(planned.files) + planned.looks
    invocations = {"initiator": 1, "averager": told}
    seconds = _seconds(planned)
    dollars = _dollars(planned, by_function, invocations, seconds)
    total = math.fsum(dollars.values())
    return Forecast(
        clients=planned.clients,
        model_bytes=planned.model_bytes,
        offered_bytes=planned.offered_bytes,
        update_bytes=planned.layout.data_bytes,
        rule=planned.settings.rule,
        encoding=planned.layout.encoding,
        parts=len(planned.grid.parts),
        plan=planned.plan,
        invocations=invocations,
        seconds=seconds,
        memory_mb={"inspecting": FIXED_MB + _inspected_bytes(planned) / 2**20, "averaging": planned.plan.memory_mb},
        limit_mb=MEMORY_MB,
        calls={name: dict(sorted(counted.items())) for name, counted in by_function.items()},
        dollars=dollars,
        dollars_a_round=total,
        dollars_a_thousand_rounds=1000 * total,
        keep=prices.S3_GB_MONTH.of(_written_bytes(planned) / prices.GB),
        month=_month(planned.clients),
    )


def _inspected_bytes(planned: Round) -> int:
    """How many bytes of updates are in memory at once: those that are fetched, and the one that is looked at."""
    largest = 4 * planned.layout.n_float + 8 * planned.layout.n_int
    at_once = max(1, FETCHED_BYTES // max(1, largest)) + 1
    return min(_BATCH, planned.clients, at_once) * planned.layout.data_bytes


def _written_bytes(planned: Round) -> int:
    sizes = {"state": planned.grid.state_range(planned.grid.parts[-1])[1], "copy": planned.offered_bytes}
    return sum(sizes.get(file, planned.model_bytes) for file in planned.files)


def _job_s(planned: Round) -> dict[str, float]:
    """How long a job of each stage takes, in seconds."""
    total = planned.clients * planned.layout.data_bytes
    shards, groups = planned.plan.shards, planned.plan.groups
    read_and_written = 2 * _written_bytes(planned) / shards / READ_BYTES_PER_S
    found: dict[str, float] = {}
    for stage in planned.plan.stages:
        read = total / shards / (groups if stage == "sums" else 1)
        if stage == "parts" and "sums" in planned.plan.stages:
            values = planned.layout.n_float - planned.layout.n_parameters + planned.layout.n_int
            numbers = planned.layout.n_parameters + 3 * values  # of which the least and the largest are there as well
            read = 8 * numbers * len(groups_of(range(planned.clients))) / shards
        found[stage] = read_s(read) + (read_and_written if stage == "parts" else 0.0)
    return found


def _seconds(planned: Round) -> dict[str, float]:
    update = planned.layout.data_bytes
    found = {
        "open": CALL_S * (3 + math.ceil(planned.clients / _PARALLEL_CALLS)),
        "inspect one update": CALL_S * 2 + update / READ_BYTES_PER_S + update / _INSPECT_BYTES_PER_S,
    }
    alone = planned.plan.alone
    if not alone:
        found["plan"] = CALL_S * 4
    for stage, job_s in _job_s(planned).items():
        jobs = 1 if alone else planned.plan.shards * (planned.plan.groups if stage == "sums" else 1)
        found[f"average: {stage}"] = math.ceil(jobs / _PARALLEL_JOBS) * (job_s + CALL_S * (2 if alone else 5))
    if not alone:
        size = planned.model_bytes
        found["complete and check"] = CALL_S * 4 + size / READ_BYTES_PER_S + size / _HASH_BYTES_PER_S
    found["close"] = CALL_S * 2
    return found


def _dollars(
    planned: Round, by_function: dict[str, Counter[str]], invocations: dict[str, int], seconds: dict[str, float]
) -> dict[str, float]:
    total: Counter[str] = sum(by_function.values(), Counter())
    clients, update = planned.clients, planned.layout.data_bytes
    in_parts = update >= IN_PARTS_BYTES
    writes = clients * (2 + math.ceil(update / PART_BYTES) if in_parts else 1)
    reads = clients  # of the model
    for kind, count in total.items():
        service, _, operation = kind.partition(".")
        if service == "s3" and operation == "GetObject":
            reads += count
        elif service == "s3":
            writes += count
    # Each message is sent, received and deleted; S3 sends one for each object.
    messages = total["sqs.SendMessage"] + clients + len(planned.files)
    published = total["iot-data-plane.Publish"]
    return {
        "Lambda": prices.LAMBDA_GB_S.of(_gb_s(planned, seconds)) + prices.LAMBDA_REQUEST.of(sum(invocations.values())),
        "S3 requests": prices.S3_WRITE.of(writes) + prices.S3_READ.of(reads),
        "S3 storage: updates for 30 days, models for a month": prices.S3_GB_MONTH.of(
            (clients * update + _written_bytes(planned)) / prices.GB
        ),
        "models sent to devices": prices.DATA_OUT_GB.of(clients * planned.offered_bytes / prices.GB),
        "DynamoDB": prices.DYNAMODB_WRITE.of(_write_units(planned)) + prices.DYNAMODB_READ.of(_read_units(planned)),
        "SQS": prices.SQS_REQUEST.of(3 * messages),
        # A retained message is metered twice. The rule for outcomes looks at every update of a shadow.
        "IoT Core": prices.IOT_MESSAGE.of(_MESSAGES * clients + 2 * published)
        + prices.IOT_SHADOW.of(_SHADOW_OPERATIONS * _SHADOW_KB * clients)
        + prices.IOT_RULE.of(_SHADOW_UPDATES * clients),
    }


def _gb_s(planned: Round, seconds: dict[str, float]) -> float:
    """GB-seconds of Lambda: what was billed by the second, times the memory of its function."""
    by_stage = _job_s(planned)
    jobs = 0.0
    for stage, job_s in by_stage.items():
        many = 1 if planned.plan.alone else planned.plan.shards * (planned.plan.groups if stage == "sums" else 1)
        jobs += many * (job_s + CALL_S * 3)
    between = math.fsum(seconds.get(phase, 0.0) for phase in ("plan", "complete and check", "close"))
    inspecting = planned.clients * (seconds["inspect one update"] - CALL_S * 2) + planned.deliveries * CALL_S * 2
    averager = jobs + between + inspecting + planned.looks * CALL_S
    return (averager * MEMORY_MB + seconds["open"] * INITIATOR_MB) / 1024


def _write_units(planned: Round) -> float:
    """DynamoDB write request units: one a kB and item, twice in transactions, which all but none of these are."""
    clients = planned.clients
    opening = 2 * _ROUND_KB + _FEDERATION_KB
    opening += math.ceil(_PLAN_KB + _MEMBER_KB * clients) + math.ceil(_NOTIFIED_KB * clients)
    responses = clients * math.ceil(calls.RESPONSE_BYTES / 1024) + planned.deliveries * _ROUND_KB
    histories = clients
    steps = (planned.jobs + (not planned.plan.alone)) * _ROUND_KB
    closing = _ROUND_KB + _FEDERATION_KB
    return 2 * (opening + responses + histories + steps + closing)


def _read_units(planned: Round) -> float:
    """DynamoDB read request units: one for each 4 kB, consistently."""
    clients = planned.clients
    of_clients = math.ceil(clients * calls.CLIENT_BYTES / 1024 / _READ_KB)
    of_plan = math.ceil((_PLAN_KB + _MEMBER_KB * clients) / _READ_KB)
    of_answers = of_plan + math.ceil(clients * (calls.RESPONSE_BYTES / 1024 + _NOTIFIED_KB) / _READ_KB)
    environments = 2 + min(planned.jobs, _PARALLEL_JOBS)
    queries = 1 + planned.jobs + (0 if planned.plan.alone else len(planned.plan.stages))
    gets = 1 + planned.deliveries + planned.jobs + planned.looks
    return of_clients + environments * of_plan + queries * of_answers + gets


def _month(clients: int) -> dict[str, float]:
    asks = clients * _MONTH_S / RECONCILE_S
    polls = _QUEUES * _POLLERS * _MONTH_S / _POLL_S
    wakes = _MONTH_S / _WAKE_S
    return {
        f"devices asking for their shadow every {RECONCILE_S} s": prices.IOT_SHADOW.of(_SHADOW_KB * asks)
        + prices.IOT_MESSAGE.of(3 * asks),
        "devices being connected, which Greengrass is anyway": prices.IOT_MINUTE.of(clients * _MONTH_S / 60),
        "Lambda polling five queues": prices.SQS_REQUEST.of(polls),
        "the initiator's wake-ups": prices.LAMBDA_REQUEST.of(wakes)
        + prices.LAMBDA_GB_S.of(wakes * CALL_S * 3 * INITIATOR_MB / 1024)
        + prices.DYNAMODB_READ.of(4 * wakes),
        f"{METRICS} metrics and {ALARMS} alarms": prices.METRIC.of(METRICS) + prices.ALARM.of(ALARMS),
    }
