"""What both functions work with: the tables, the bucket, the ways out; made once an execution environment.

Every AWS call is counted by its kind, so that each invocation can tell what it cost.
"""

import functools
import os
from collections import Counter
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import msgspec
from botocore.config import Config

from cloud import custom_policies
from cloud.averaging.part_sizes import MIN_PART_BYTES
from cloud.pricing.prices import REGION
from cloud.settings import Federation
from cloud.state.clients import Clients
from cloud.state.federations import Federations
from cloud.state.groups import Groups
from cloud.state.messaging import Notices
from cloud.state.models import Models
from cloud.state.object_cache import CACHE_BYTES
from cloud.state.records import RoundRecord
from cloud.state.rounds import Rounds, UnknownRoundError

_PARALLEL = 128


class Services(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Everything outside an invocation that it may touch. `calls` counts AWS calls by service and operation;
    `left_out` counts records that could not be read, by kind (`cloud/state/lenient_reader.py`); `waited_s` are the
    seconds that averaging stood still for S3, by what for: "read" or "write"; `part_bytes` is the size of a part of a
    multipart upload, of which S3 takes none that is smaller. The metrics are in the `namespace` of the
    stack, which is in a `region`."""

    federations: Federations
    clients: Clients
    groups: Groups
    rounds: Rounds
    models: Models
    notices: Notices
    parallel: Executor
    calls: Counter[str]
    waited_s: dict[str, float]
    package: Path
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    part_bytes: int = MIN_PART_BYTES
    namespace: str = "fedgrass"
    region: str = REGION

    def policy(self, settings: Federation, name: str) -> Any:
        """The custom function of this name, None where the settings don't ask for it.

        Raises:
            InvalidPolicyError: as `custom_policies.load`.
        """
        if name not in settings.custom_functions:
            return None
        return getattr(_policies(self.package / "federations" / settings.name, settings), name)

    def opened_round(self, federation: str, life: str, round_number: int) -> RoundRecord | None:
        """A round of a federation's life, None if it was never opened."""
        try:
            return self.rounds.of(federation, life, round_number)
        except UnknownRoundError:
            return None


@functools.lru_cache
def _policies(directory: Path, settings: Federation) -> Any:
    return custom_policies.load_deployed(directory, settings)


@functools.cache
def from_environment(part_bytes: int = MIN_PART_BYTES, cache_bytes: int = CACHE_BYTES) -> Services:
    """The services that the function's environment variables name (see template.yaml). `cache_bytes` is how much they
    keep of the bucket."""
    environment = os.environ
    session = boto3.Session()
    calls: Counter[str] = Counter()
    left_out: Counter[str] = Counter()

    def count(event_name: str, **_: Any) -> None:
        calls[event_name.removeprefix("before-send.")] += 1

    session.events.register("before-send", count)
    config = Config(
        max_pool_connections=_PARALLEL,
        retries={"mode": "standard", "max_attempts": 5},
        response_checksum_validation="when_required",  # models have a SHA-256, updates are inspected
    )
    parallel = ThreadPoolExecutor(_PARALLEL)
    dynamodb = session.client("dynamodb", config=config)
    return Services(
        federations=Federations(dynamodb, environment["FEDERATIONS_TABLE"], left_out),
        clients=Clients(dynamodb, environment["CLIENTS_TABLE"], left_out),
        groups=Groups(lambda: session.client("iot", config=config)),
        rounds=Rounds(
            dynamodb,
            environment["ROUNDS_TABLE"],
            environment["RESPONSES_TABLE"],
            environment["FEDERATIONS_TABLE"],
            left_out,
        ),
        models=Models(session.client("s3", config=config), environment["BUCKET"], cache_bytes),
        notices=Notices(
            session.client("iot-data", config=config),
            session.client("sqs", config=config),
            environment["ROUNDS_QUEUE"],
            environment["CONTROL_QUEUE"],
            environment["UPDATES_QUEUE"],
            environment["SHARDS_QUEUE"],
            parallel,
        ),
        parallel=parallel,
        calls=calls,
        waited_s={},
        package=Path(__file__).parent.parent,
        left_out=left_out,
        part_bytes=part_bytes,
        namespace=environment["NAMESPACE"],
        region=dynamodb.meta.region_name,
    )
