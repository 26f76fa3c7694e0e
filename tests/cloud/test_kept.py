"""What an execution environment keeps of the bucket: never more than it may, and never one version for another."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.deployment import Deployment
from cloud.state.kept import Kept
from cloud.state.models import Models
from sandbox.embedded_aws import EmbeddedAws


@given(st.lists(st.integers(0, 12), max_size=30))
def test_the_newest_objects_are_kept_that_fit(sizes: list[int]) -> None:
    kept = Kept(limit_bytes=10)
    for number, size in enumerate(sizes):
        kept.add("key", str(number), bytes(size))
    fitting = [(number, size) for number, size in enumerate(sizes) if size <= 10]
    while sum(size for _, size in fitting) > 10:
        fitting.pop(0)
    found = [n for n in range(len(sizes)) if kept.get("key", str(n)) is not None]
    assert found == [number for number, _ in fitting]


def test_a_version_that_is_kept_is_not_read_again_and_another_one_is(aws: EmbeddedAws, deployed: Deployment) -> None:
    s3, models, key = aws.client("s3"), Models(aws.client("s3"), deployed.bucket), "partial/kept"
    first, second = (
        s3.put_object(Bucket=deployed.bucket, Key=key, Body=body)["VersionId"]
        for body in (b"0123456789", b"abcdefghij")
    )
    models.keep(key, models.fetch(key, version_id=first))
    s3.delete_object(Bucket=deployed.bucket, Key=key, VersionId=first)
    assert models.range(key, 2, 5, version_id=first) == b"234"
    assert models.range(key, 8, 15, version_id=first) == b"89"
    assert models.range(key, 2, 5, version_id=second) == b"cde"
    assert models.range(key, 2, 5) == b"cde"


def test_a_model_of_the_same_key_with_other_bytes_is_read_from_the_bucket(
    aws: EmbeddedAws, deployed: Deployment
) -> None:
    """A federation that is made anew under the same name has models of the same keys."""
    models, key = Models(aws.client("s3"), deployed.bucket), "partial/kept-model"
    old = models.put(key, b"old model")
    models.keep_model(old, b"old model")
    new = models.put(key, b"new model")
    assert models.beginning(old, 3) == b"old model"
    assert models.beginning(new, 3) == b"new"
