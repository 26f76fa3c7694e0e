"""What an execution environment keeps of the bucket: never more than it may, and never one version for another."""

from concurrent.futures import Executor, Future
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloud.averager.work.object_reader import ObjectReader
from cloud.averaging.accepted_updates import Request, S3Object
from cloud.state.models import Models
from cloud.state.object_cache import ObjectCache
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws


@given(st.lists(st.integers(0, 12), max_size=30))
def test_the_newest_objects_are_kept_that_fit(sizes: list[int]) -> None:
    kept = ObjectCache(limit_bytes=10)
    for number, size in enumerate(sizes):
        kept.add("key", str(number), bytes(size))
    fitting = [(number, size) for number, size in enumerate(sizes) if size <= 10]
    while sum(size for _, size in fitting) > 10:
        fitting.pop(0)
    found = [n for n in range(len(sizes)) if kept.get("key", str(n)) is not None]
    assert found == [number for number, _ in fitting]


def test_what_is_kept_of_one_version_is_not_taken_for_another(aws: EmbeddedAws, deployed: Deployment) -> None:
    s3, models, key = aws.client("s3"), Models(aws.client("s3"), deployed.bucket), "partial/kept"
    data, other = b"0123456789", b"abcdefghij"
    first, second = (s3.put_object(Bucket=deployed.bucket, Key=key, Body=body)["VersionId"] for body in (data, other))
    models.cache(key, models.fetch(key, version_id=first))
    assert (models.cached(key, first), models.cached(key, second), models.cached(key, None)) == (data, None, None)


def test_a_model_of_the_same_key_with_other_bytes_is_read_from_the_bucket(
    aws: EmbeddedAws, deployed: Deployment
) -> None:
    """An operator may have deleted the first one."""
    models, key = Models(aws.client("s3"), deployed.bucket), "partial/kept-model"
    old = models.put_new(key, b"old model")
    models.cache_model(old, b"old model")
    aws.client("s3").delete_object(Bucket=deployed.bucket, Key=key)
    new = models.put_new(key, b"new model")
    assert models.beginning(old, 3) == b"old model"
    assert models.beginning(new, 3) == b"new"


class NeverDone(Executor):
    """Takes work, and counts it."""

    def __init__(self) -> None:
        self.taken = 0

    def submit(self, *_: Any, **__: Any) -> Any:
        self.taken += 1
        return Future()


def test_what_is_in_memory_takes_no_place_from_what_is_fetched_ahead() -> None:
    nowhere: Any = None
    files = [S3Object(key=str(n), data_start=1, head=b"" if n % 2 else b"_known") for n in range(160)]
    parallel = NeverDone()
    reader = ObjectReader(Models(nowhere, "bucket"), files, parallel, {}, ahead_bytes=80 * 5)
    space = bytearray(5)
    next(reader.read(Request(n, 0, 5) for n in range(160)))(memoryview(space))
    assert (bytes(space), parallel.taken) == (b"known", 80)
