"""cloud/state/models.py on the embedded AWS: a model that is finished stays as it is."""

import pytest

from cloud.state.models import Models, OtherModelError
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws

PART = b"p" * (5 << 20)


@pytest.fixture
def models(aws: EmbeddedAws, deployed: Deployment) -> Models:
    return Models(aws.client("s3"), deployed.bucket)


def versions(aws: EmbeddedAws, deployed: Deployment, key: str) -> int:
    found = aws.client("s3").list_object_versions(Bucket=deployed.bucket, Prefix=key)
    return len(found["Versions"])


def in_parts(models: Models, key: str, *parts: bytes) -> None:
    upload = models.begin(key)
    for number, part in enumerate(parts):
        models.put_part(key, upload, number, part)
    models.complete(key, upload)


def test_a_model_that_is_written_again_is_the_one_that_is_there(
    aws: EmbeddedAws, deployed: Deployment, models: Models
) -> None:
    assert models.put_new("again/one", b"ours") == models.put_new("again/one", b"ours")
    for _ in range(2):
        in_parts(models, "again/parts", PART, b"end")
    assert models.fetch("again/parts").data == PART + b"end"
    assert [versions(aws, deployed, key) for key in ("again/one", "again/parts")] == [1, 1]


def test_another_model_does_not_take_the_place_of_one_that_is_there(models: Models) -> None:
    models.put_new("kept/one", b"ours")
    in_parts(models, "kept/parts", PART, b"end")
    with pytest.raises(OtherModelError, match=r"kept/one in bucket .* is there already, with other bytes"):
        models.put_new("kept/one", b"other")
    for other in ((PART, b"eno"), (PART + b"e", b"nd"), (PART + b"end",)):
        with pytest.raises(OtherModelError, match="kept/parts"):
            in_parts(models, "kept/parts", *other)
        with pytest.raises(OtherModelError, match="kept/one"):
            in_parts(models, "kept/one", *other)
    assert models.fetch("kept/one").data == b"ours"
    assert models.fetch("kept/parts").data == PART + b"end"
