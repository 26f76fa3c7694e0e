"""What one hostile device costs in an hour, by what it does, with its own certificate and credentials.

`python -m benchmarks.hostile_hour` has a client of a round do each of these for a while, through the deployed
functions, 30 ms from AWS; counts what that takes, and prices it for as many as the device can do in an hour
(cloud/pricing/prices.toml):

connection   AWS IoT takes 100 publishes a second of one connection
shadow       AWS IoT takes 20 requests a second to the shadows of one thing
line         20 Mbit/s; a request to S3 has 2 kB beside its body

A line of JSON is printed for each kind: {"kind", "limit", "sample", "an_hour", "invocations", "calls", "ms",
"stored_bytes", "dollars", "dollars_an_hour"}: of the sample the invocations, their AWS calls and time, and the bytes
that stay in the bucket; and what an hour of it costs, and of what that consists. What is stored is paid for until it
expires. The last line is {"dollars_an_hour", "of"}: the worst that the device can do at once, which is the sum of the
worst of each limit.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec
import numpy as np
import typer

from cloud.averager.work.sharding import MEMORY_MB
from cloud.pricing.prices import GB, prices_of
from protocol import names
from protocol.messages import Hello, encode
from sandbox.function_logs import FunctionLine, function_lines, function_log
from sandbox.sandbox import Sandbox
from sandbox.simulated_clients import SimulatedClients

PARAMETERS = 109_386
"""Of the MLP 784-128-64-10."""

CLIENTS = 4
LATENCY_S = 0.03
INITIATOR_MB = 1024
PUBLISHES_A_SECOND, SHADOW_REQUESTS_A_SECOND = 100.0, 20.0
LINE_BYTES_A_SECOND, REQUEST_BYTES = 20e6 / 8, 2_000
UPDATE_DAYS, LITTER_DAYS, MONTH_DAYS = 30, 1, 30
_HOUR_S = 3600
_LARGE_BYTES = 8_000_000
_LIMIT_S = 900.0
_TRANSACTION_UNITS = 6
"""Of DynamoDB writes: two items, of 1 and of 2 kB, each of which is written twice."""

_READ_UNITS = {"GetItem": 1, "BatchGetItem": 2, "Query": 2, "Scan": 1}
_WRITE_UNITS = {"UpdateItem": 1, "PutItem": 1, "TransactWriteItems": _TRANSACTION_UNITS}
_DEEP = "[" * 500 + "]" * 500

Limit = Literal["connection", "shadow", "line"]


class Attack(msgspec.Struct, frozen=True):
    """`send` does it once, with what the device has; a body of so many bytes goes over its line each time."""

    kind: str
    limit: Limit
    sample: int
    send: Callable[["Device", int], None]
    body_bytes: int = 0

    @property
    def a_second(self) -> float:
        """How often a device can do it."""
        if self.limit == "line":
            return LINE_BYTES_A_SECOND / (REQUEST_BYTES + self.body_bytes)
        return PUBLISHES_A_SECOND if self.limit == "connection" else SHADOW_REQUESTS_A_SECOND


class Device:
    """The one that attacks, in the round of a federation of its own."""

    def __init__(self, sandbox: Sandbox, number: int) -> None:
        self.federation = f"hour-{number}"
        self.clients = SimulatedClients(
            sandbox,
            self.federation,
            CLIENTS,
            {"weights": np.zeros(PARAMETERS, np.float32)},
            rounds=1,
            things=[f"member-{number}-{client}" for client in range(CLIENTS)],
        )
        self.clients.join()
        self.clients.start()
        self.record = self.clients.opened(1)
        self.thing = self.clients.things[0]
        self.bucket = sandbox.deployment.bucket
        self.s3: Any = sandbox.aws.client("s3")
        self.iot: Any = sandbox.aws.client("iot-data")

    def publish(self, payload: bytes, federation: str | None = None) -> None:
        """Send it where hellos go."""
        topic = names.hello_topic(federation or self.federation, self.thing)
        self.iot.publish(topic=topic, qos=1, payload=payload)

    def report(self, progress: dict[str, Any]) -> None:
        """Say it in the shadow."""
        payload = msgspec.json.encode({"state": {"reported": {"progress": progress}}})
        shadow = names.shadow_name(self.federation)
        self.iot.update_thing_shadow(thingName=self.thing, shadowName=shadow, payload=payload)

    def key(self, round_number: int = 1) -> str:
        """Where it may write."""
        return names.update_key(self.federation, round_number, self.thing, self.record.life)

    def put(self, key: str, body: bytes) -> None:
        """Store an object."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)


def _hello(examples: int) -> bytes:
    return encode(
        Hello(component_version="0.1.0", architecture="x", memory_bytes=0, cpu_count=1, examples=1 + examples)
    )


def _deep_hello(device: Device, _: int) -> None:
    device.publish(_hello(0).replace(b'"0.1.0"', _DEEP.encode()))


def _outcome(device: Device, number: int) -> None:
    reason = f"reason {number}"
    device.report({"round": 1, "life": device.record.life, "phase": "declined", "reason": reason, "at": 0.0})


def _litter(device: Device, number: int) -> None:
    begun = device.s3.create_multipart_upload(Bucket=device.bucket, Key=device.key())
    device.s3.upload_part(
        Bucket=device.bucket, Key=device.key(), UploadId=begun["UploadId"], PartNumber=1 + number % 10_000, Body=b"1"
    )


def _download(device: Device, _: int) -> None:
    device.s3.get_object(Bucket=device.bucket, Key=device.record.base.key)["Body"].read()


ATTACKS = (
    Attack("hellos, each another", "connection", 1000, lambda device, number: device.publish(_hello(number))),
    Attack("hellos, all the same", "connection", 500, lambda device, _: device.publish(_hello(0))),
    Attack(
        "hellos to federations made up",
        "connection",
        500,
        lambda device, number: device.publish(_hello(0), f"none-{number}"),
    ),
    Attack("hellos that are none", "connection", 500, _deep_hello),
    Attack("outcomes", "shadow", 400, _outcome),
    Attack("small junk to its round", "line", 1000, lambda device, _: device.put(device.key(), b"junk")),
    Attack(
        "small junk to rounds made up", "line", 1000, lambda device, number: device.put(device.key(2 + number), b"junk")
    ),
    Attack(
        "small junk to federations made up",
        "line",
        500,
        lambda device, number: device.put(device.key().replace(device.federation, f"none-{number}"), b"junk"),
    ),
    Attack(
        "junk of an update's size",
        "line",
        200,
        lambda device, _: device.put(device.key(), bytes(4 * PARAMETERS)),
        4 * PARAMETERS,
    ),
    Attack("large objects", "line", 20, lambda device, _: device.put(device.key(), bytes(_LARGE_BYTES)), _LARGE_BYTES),
    Attack("uploads begun, with a part each", "line", 300, _litter, REQUEST_BYTES),
    Attack("downloads of a model", "line", 50, _download, 4 * PARAMETERS),
)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """See the module."""

    kind: str
    limit: Limit
    sample: int
    an_hour: int
    invocations: int
    calls: dict[str, int]
    ms: float
    stored_bytes: int
    dollars: dict[str, float]
    dollars_an_hour: float


def measure(sandbox: Sandbox, attack: Attack, number: int) -> Figures:
    """Do it as often as the sample says, as fast as a device can, and wait until all of it is dealt with."""
    device = Device(sandbox, number)
    device.clients.settled(_LIMIT_S)
    before, stored, logged = _lines(sandbox), _stored(sandbox), _logged_bytes(sandbox)
    started = time.monotonic()

    def send(one: int) -> None:
        time.sleep(max(0.0, started + one / attack.a_second - time.monotonic()))
        attack.send(device, one)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(attack.sample)))
    device.clients.settled(_LIMIT_S)
    lines = {name: every[len(before[name]) :] for name, every in _lines(sandbox).items()}
    calls = sum((Counter(line.calls) for every in lines.values() for line in every), Counter[str]())
    left = _stored(sandbox) - stored
    times = _HOUR_S * attack.a_second / attack.sample
    dollars = _dollars(attack, lines, calls, left, _logged_bytes(sandbox) - logged)
    return Figures(
        kind=attack.kind,
        limit=attack.limit,
        sample=attack.sample,
        an_hour=round(_HOUR_S * attack.a_second),
        invocations=sum(map(len, lines.values())),
        calls=dict(sorted(calls.items())),
        ms=round(1000 * sum(line.duration_s for every in lines.values() for line in every), 1),
        stored_bytes=sum(left.values()),
        dollars={name: round(times * value, 4) for name, value in dollars.items() if value},
        dollars_an_hour=round(times * sum(dollars.values()), 3),
    )


def _dollars(
    attack: Attack, lines: dict[str, list[FunctionLine]], calls: Counter[str], left: Counter[str], logged_bytes: int
) -> dict[str, float]:
    """What the sample costs, by service."""
    prices = prices_of("us-east-1")
    every = [line for group in lines.values() for line in group]
    memory = {"initiator": INITIATOR_MB, "averager": MEMORY_MB}
    gb_s = sum(line.duration_s * memory[name] / 1024 for name, group in lines.items() for line in group)
    heard = sum(line.messages for line in every)
    by_operation = Counter({kind.partition(".")[2]: count for kind, count in calls.items() if "dynamodb" in kind})
    reads = sum(units * by_operation[operation] for operation, units in _READ_UNITS.items())
    writes = sum(units * by_operation[operation] for operation, units in _WRITE_UNITS.items())
    own_reads, own_writes = 0, 0
    if attack.limit == "line":
        own_reads = attack.sample * (attack.send is _download)
        own_writes = attack.sample * (2 if attack.send is _litter else 1) - own_reads
    iot = 0.0
    if attack.limit != "line":
        # Every message is looked at by a rule; those that it passes on make an action.
        iot = prices.iot_message.of(attack.sample) + prices.iot_rule.of(attack.sample + heard)
        iot += prices.iot_shadow.of(attack.sample) if attack.limit == "shadow" else 0.0
    gb_months = (left["objects"] * UPDATE_DAYS + left["parts"] * LITTER_DAYS) / MONTH_DAYS / GB
    return {
        "IoT Core": iot,
        "SQS": prices.sqs_request.of(heard + 2 * len(every) + calls["sqs.SendMessage"]),
        "Lambda": prices.lambda_request.of(len(every)) + prices.lambda_gb_s.of(gb_s),
        "DynamoDB": prices.dynamodb_read.of(reads) + prices.dynamodb_write.of(writes),
        "S3 requests of the device": prices.s3_write.of(own_writes) + prices.s3_read.of(own_reads),
        "S3 requests of the functions": prices.s3_read.of(calls["s3.GetObject"]),
        "S3 storage": prices.s3_gb_month.of(gb_months),
        "data out": prices.data_out_gb.of(attack.body_bytes * own_reads / GB),
        "logs": prices.log_gb.of(logged_bytes / GB),
    }


def _lines(sandbox: Sandbox) -> dict[str, list[FunctionLine]]:
    return {name: function_lines(sandbox.aws, getattr(sandbox.deployment, name)) for name in ("initiator", "averager")}


def _logged_bytes(sandbox: Sandbox) -> int:
    return sum(
        len(message) + 26  # which CloudWatch adds to each
        for name in (sandbox.deployment.initiator, sandbox.deployment.averager)
        for message in function_log(sandbox.aws, name)
    )


def _stored(sandbox: Sandbox) -> Counter[str]:
    """Bytes in the bucket: of objects, in all their versions, and of parts that belong to none yet."""
    s3, bucket = sandbox.aws.client("s3"), sandbox.deployment.bucket
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    objects = sum(version["Size"] for page in pages for version in page.get("Versions", []))
    parts = 0
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            found = s3.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            parts += sum(part["Size"] for part in found.get("Parts", []))
    return Counter(objects=objects, parts=parts)


def main(share: float = typer.Option(1.0, min=0.001, max=1.0, help="Of the samples, for a quick look.")) -> None:
    """Print the figures as JSON."""
    worst: dict[str, Figures] = {}
    with Sandbox(call_latency_s=LATENCY_S) as sandbox:
        for number, attack in enumerate(ATTACKS):
            sample = max(2, round(share * attack.sample))
            found = measure(sandbox, msgspec.structs.replace(attack, sample=sample), number)
            sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
            sys.stdout.flush()
            if found.limit not in worst or found.dollars_an_hour > worst[found.limit].dollars_an_hour:
                worst[found.limit] = found
    total = {
        "dollars_an_hour": round(sum(found.dollars_an_hour for found in worst.values()), 2),
        "of": {limit: found.kind for limit, found in worst.items()},
    }
    sys.stdout.write(msgspec.json.encode(total).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
