"""A federation's model as a component: what is published, what is told, and that nothing is published twice."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from botocore.exceptions import ClientError

from cloud.state.rounds import UnknownRoundError
from operations import model_component
from operations.control import NoModelError
from operations.deployment import Deployment
from operations.model_component import Metadata
from operations.model_publication import (
    InvalidComponentError,
    Publication,
    Publisher,
    VersionTakenError,
)
from sandbox.embedded_aws import EmbeddedAws
from tests.cloud.simulated import SimulatedFederation


@pytest.fixture
def component() -> str:
    return f"com.example.M{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def trained(aws: EmbeddedAws, deployed: Deployment) -> Iterator[SimulatedFederation]:
    """A federation with the models of two rounds."""
    federation = SimulatedFederation(aws, deployed, "published")
    federation.create(["d0"], rounds=2)
    federation.start()
    for number in (1, 2):
        federation.answer("d0", number)
        assert federation.ended(number).status == "closed"
    yield federation
    federation.stop()


def publisher(trained: SimulatedFederation, round_number: int | None = None, **options: Any) -> Publisher:
    operations = trained.operations
    return Publisher(trained.aws.client, operations, operations.federations.get(trained.name), round_number, **options)


def bucket_of(trained: SimulatedFederation) -> str:
    return trained.deployed.bucket


def recipe_of(trained: SimulatedFederation, prepared: Publication) -> Any:
    answer = trained.aws.client("greengrassv2").get_component(arn=prepared.arn, recipeOutputFormat="JSON")
    return json.loads(answer["recipe"])


def get(trained: SimulatedFederation, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bytes(trained.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def test_a_model_becomes_a_component_without_anything_to_run(trained: SimulatedFederation, component: str) -> None:
    made = trained.round(2)
    assert made.model is not None
    model = trained.operations.models.get(made.model)
    publishing = publisher(trained, program=lambda given: b"program of " + given[:8], task="ab" * 32)
    prepared = publishing.prepare(component, None, bucket_of(trained))
    assert (prepared.version, prepared.is_there) == ("1.0.0", False)
    publishing.publish(prepared)

    recipe = recipe_of(trained, prepared)
    assert recipe["ComponentConfiguration"]["DefaultConfiguration"] == {
        "federation": trained.name,
        "round": 2,
        "sha256": made.model.sha256,
        "task": "ab" * 32,
    }
    (manifest,) = recipe["Manifests"]
    assert manifest["Platform"] == {"os": "linux", "runtime": "*"}
    assert manifest["Lifecycle"] == {}
    files = {one["Uri"].rpartition("/")[2]: get(trained, one["Uri"]) for one in manifest["Artifacts"]}
    assert files.keys() == {"model.safetensors", "model.json", "model.pt2"}
    assert files["model.safetensors"] == model
    assert files["model.pt2"] == b"program of " + model[:8]
    about = msgspec.json.decode(files["model.json"], type=Metadata)
    assert (about.federation, about.round, about.metrics) == (trained.name, 2, made.metrics)
    assert about.model.sha256 == hashlib.sha256(model).hexdigest()
    assert about.program is not None
    assert about.program.bytes == len(files["model.pt2"])


def test_what_is_prepared_changes_nothing(trained: SimulatedFederation, component: str) -> None:
    prepared = publisher(trained).prepare(component, None, bucket_of(trained))
    with pytest.raises(ClientError, match="ResourceNotFound"):
        recipe_of(trained, prepared)
    listed = trained.aws.client("s3").list_objects_v2(Bucket=bucket_of(trained), Prefix=prepared.prefix)
    assert listed["KeyCount"] == 0


def test_a_model_that_is_published_is_told_with_its_version_and_others_get_the_next(
    trained: SimulatedFederation, component: str
) -> None:
    bucket = bucket_of(trained)
    for number, version in ((1, "1.0.0"), (2, "1.0.1")):
        publishing = publisher(trained, number)
        prepared = publishing.prepare(component, None, bucket)
        assert (prepared.version, prepared.is_there) == (version, False)
        publishing.publish(prepared)
    for asked, version in ((1, "1.0.0"), (2, "1.0.1"), (None, "1.0.1")):
        again = publisher(trained, asked).prepare(component, None, bucket)
        assert (again.version, again.is_there) == (version, True)
    named = publisher(trained, 2).prepare(component, "3.0.0", bucket)
    assert (named.version, named.is_there) == ("1.0.1", True)
    exported = publisher(trained, 2, program=lambda _: b"x", task="cd" * 32).prepare(component, None, bucket)
    assert (exported.version, exported.is_there) == ("1.0.2", False)


def test_a_program_that_is_exported_again_to_other_bytes_is_the_same_model(
    trained: SimulatedFederation, component: str
) -> None:
    bucket = bucket_of(trained)
    first = publisher(trained, program=lambda _: b"first", task="ab" * 32)
    first.publish(first.prepare(component, None, bucket))
    assert publisher(trained, program=lambda _: b"second", task="ab" * 32).prepare(component, None, bucket).is_there


def test_a_model_that_is_published_is_told_to_be_where_it_is_whatever_bucket_and_program_are_given(
    trained: SimulatedFederation, component: str
) -> None:
    publishing = publisher(trained, program=lambda _: b"first", task="ab" * 32)
    prepared = publishing.prepare(component, None, bucket_of(trained))
    publishing.publish(prepared)
    exported_anew = publisher(trained, program=lambda _: b"second", task="ab" * 32)
    again = exported_anew.prepare(component, None, "no-such-bucket-of-mine")
    assert again.is_there
    assert (again.bucket, again.prefix) == (bucket_of(trained), prepared.prefix)


def test_what_was_cut_off_between_its_two_steps_is_done_by_doing_it_again(
    trained: SimulatedFederation, component: str
) -> None:
    bucket = bucket_of(trained)
    publishing = publisher(trained)
    prepared = publishing.prepare(component, None, bucket)
    for name in prepared.artifacts:
        trained.aws.client("s3").put_object(Bucket=bucket, Key=f"{prepared.prefix}/{name}", Body=b"half")
    publishing.publish(publishing.prepare(component, None, bucket))
    model = get(trained, recipe_of(trained, prepared)["Manifests"][0]["Artifacts"][0]["Uri"])
    assert hashlib.sha256(model).hexdigest() == prepared.about.model.sha256


def test_a_version_that_has_another_model_is_refused_before_and_in_a_race(
    trained: SimulatedFederation, component: str
) -> None:
    bucket = bucket_of(trained)
    first, second = publisher(trained, 1), publisher(trained, 2)
    late = second.prepare(component, None, bucket)
    first.publish(first.prepare(component, None, bucket))
    with pytest.raises(VersionTakenError, match=r"1\.0\.0 was published by somebody else just now: run this again"):
        second.publish(late)
    with pytest.raises(VersionTakenError, match=r"1\.0\.0 is published already, with another model: .*for 1\.0\.1"):
        second.prepare(component, "1.0.0", bucket)


def test_a_component_that_has_a_version_without_a_model_gets_none(trained: SimulatedFederation, component: str) -> None:
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": component,
        "ComponentVersion": "4.0.0",
        "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"run": "true"}}],
    }
    trained.aws.client("greengrassv2").create_component_version(inlineRecipe=json.dumps(recipe).encode())
    told = rf"{component} is no component of models, 4\.0\.0 holds none: name another, or none, for com.fedgrass.Model."
    for version in (None, "3.0.0"):
        with pytest.raises(InvalidComponentError, match=told):
            publisher(trained).prepare(component, version, bucket_of(trained))


@pytest.mark.parametrize(
    ("name", "version", "told"),
    [
        ("a b", None, "component name 'a b'"),
        ("", None, "component name ''"),
        ("x" * 129, None, "use 1 to 128"),
        ("../x", None, "component name '../x'"),
        ("com.example.M", "1.0", "version '1.0': write three numbers"),
        ("com.example.M", "v1.0.0", "version 'v1.0.0'"),
        ("com.example.M", "01.0.0", "version '01.0.0'"),
    ],
)
def test_names_and_versions_that_no_component_can_have_are_refused(
    trained: SimulatedFederation, name: str, version: str | None, told: str
) -> None:
    with pytest.raises(InvalidComponentError, match=told):
        publisher(trained).prepare(name, version, bucket_of(trained))


def test_what_has_no_model_is_told(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    with pytest.raises(NoModelError, match=r"no round of .* has made a model yet"):
        publisher(simulated)
    with pytest.raises(UnknownRoundError):
        publisher(simulated, 7)


def test_a_bucket_that_devices_cannot_be_served_from_is_told(trained: SimulatedFederation, component: str) -> None:
    publishing = publisher(trained)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        publishing.publish(publishing.prepare(component, None, "no-such-bucket-of-mine"))


def test_recipes_of_others_say_nothing_of_a_model() -> None:
    for text in (
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"ComponentConfiguration": {"DefaultConfiguration": {"round": "x"}}}',
        b"\xff",
    ):
        assert model_component.read_identity(text) is None
        assert model_component.read_place(text) is None
