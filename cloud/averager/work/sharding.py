"""How a round is averaged: by how many invocations, and what that takes. Pure functions of sizes.

What an invocation can do is taken from cloud/template.yaml and from what others have measured: see the constants.
"""

import math
from typing import Annotated

import msgspec

from cloud.averaging.part_sizes import MIN_PART_BYTES
from cloud.averaging.rules import rule_of
from cloud.averaging.sums import GROUP
from cloud.averaging.update_rows import MATRIX_BYTES
from cloud.settings import Averaging
from cloud.state.object_cache import CACHE_BYTES
from cloud.state.records import Stage, Work

MEMORY_MB = 1769
"""What an averager has: at this size Lambda gives it one whole processor."""

INVOCATION_S = 120.0
"""After so long Lambda ends an averager."""

READ_BYTES_PER_S = 75e6
"""What one averager reads from S3 with many ranged GETs at once: 45 to 57 MB/s were measured by others for a single
stream, and a function of one processor has a network that takes somewhat more."""

FOLD_BYTES_PER_S = 2e9
"""How fast float32 numbers are added up on one processor."""

_SHARD_BYTES = 256 << 20
"""A shard is worth its invocation from about so much to read on."""

_JOB_S = 60.0
"""A job that would take longer is split: half of what an invocation may take."""

FIXED_MB = 110.0 + CACHE_BYTES / 2**20
"""The interpreter, the libraries, clients of AWS, and updates that were inspected last."""

_WINDOW_BYTES = 64 << 20


class TooMuchWorkError(ValueError):
    """A round that can't be averaged within Lambda's limits; the text says what would help."""


class Sharding(msgspec.Struct, frozen=True, kw_only=True):
    """By how many invocations a round is averaged, and how long each takes at most, in seconds; `read_bytes` is what
    one of them reads, `memory_mb` what it needs."""

    stages: tuple[Stage, ...]
    shards: Annotated[int, msgspec.Meta(ge=1)]
    groups: Annotated[int, msgspec.Meta(ge=1)]
    read_bytes: int
    job_s: float
    memory_mb: float

    @property
    def alone(self) -> bool:
        """Whether a single invocation does it all."""
        return self.shards == self.groups == 1

    @property
    def work(self) -> Work | None:
        """What the round's record gets of it, None if a single invocation does it all."""
        return None if self.alone else Work(stages=self.stages, shards=self.shards, groups=self.groups)


def sharding_of(settings: Averaging, parts: int, update_bytes: int, clients: int) -> Sharding:
    """How to average so many updates of so many bytes each to a model of so many parts. The same arguments always give
    the same sharding.

    Raises:
        TooMuchWorkError: no invocation could do its share in its time.
    """
    updates = updates_read(settings, clients)
    total = updates * update_bytes
    rule = rule_of(settings.rule)
    shards = groups = 1
    if rule.sees != "updates":
        wanted = max(math.ceil(total / _SHARD_BYTES), math.ceil(read_s(total) / _JOB_S), 1)
        shards = min(parts, settings.shards or wanted)
    if rule.sees == "sums":
        groups = max(1, min(math.ceil(updates / GROUP), math.ceil(read_s(total / shards) / _JOB_S)))
    read = math.ceil(total / shards / groups)
    seconds = read_s(read) * (2 if rule.select and shards == 1 else 1)
    if seconds > INVOCATION_S:
        raise TooMuchWorkError(
            f"averaging {clients} updates of {update_bytes} bytes by rule {settings.rule} would take an invocation "
            f"{seconds:.0f} s, and it has {INVOCATION_S:.0f}: take a smaller cohort, or an encoding of fewer bytes"
        )
    is_needed: dict[Stage, bool] = {"distances": bool(rule.select), "sums": groups > 1, "parts": True}
    matrix_bytes = 0 if rule.sees == "sums" else MATRIX_BYTES
    return Sharding(
        stages=tuple(stage for stage, needed in is_needed.items() if needed),
        shards=shards,
        groups=groups,
        read_bytes=read,
        job_s=seconds,
        memory_mb=FIXED_MB + (_WINDOW_BYTES + matrix_bytes + 10 * MIN_PART_BYTES) / 2**20,
    )


def updates_read(settings: Averaging, clients: int) -> int:
    """How many updates a round reads of so many clients at most: with variance reduction also their last ones."""
    return clients * (1 + settings.variance_reduction)


def read_s(read_bytes: float) -> float:
    """How long an invocation takes to read so much of updates, and to add it up, in seconds."""
    return read_bytes / READ_BYTES_PER_S + read_bytes / FOLD_BYTES_PER_S
