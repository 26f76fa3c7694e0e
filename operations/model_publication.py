"""Publishes a federation's model as a component of AWS IoT Greengrass. boto3 clients are passed in.

The artifacts are uploaded first, under their digest; then the component version is made, which AWS does once. A run
that is cut off in between is repeated whole.
"""

import base64
import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from cloud.state.records import FederationRecord, RoundRecord
from operations import component_versions, model_component
from operations.control import NoModelError, Operations
from operations.model_component import File, Metadata

_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")
_LIMIT_S = 120.0
_POLL_S = 0.5


class InvalidComponentError(ValueError):
    """A name or a version that no component can have."""


class VersionTakenError(Exception):
    """The component has this version already, with another model."""


class PublicationError(Exception):
    """AWS IoT Greengrass does not take the component version."""


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What is, or would be, published. `is_there` says that this model is in that version already; then `bucket` and
    `prefix` are where that has it."""

    component: str
    version: str
    arn: str
    bucket: str
    prefix: str
    about: Metadata
    artifacts: dict[str, File]
    is_there: bool


class Publisher:
    """Publishes one model. `program` is the network as torch.export writes it, of the code with the SHA-256 `task`."""

    def __init__(
        self,
        client: Callable[[str], Any],
        operations: Operations,
        record: FederationRecord,
        round_number: int | None,
        program: Callable[[bytes], bytes] | None = None,
        task: str | None = None,
    ) -> None:
        """`round_number` is the round that made the model, None for the model that is current.

        Raises:
            UnknownRoundError, NoModelError: see there.
            MissingObjectError, CorruptModelError: the model can't be had.
        """
        self._s3, self._greengrass, self._sts = client("s3"), client("greengrassv2"), client("sts")
        made: RoundRecord | None
        if round_number is None:
            made, reference = operations.made_by(record), record.model
        else:
            reference = operations.model_of(record, round_number)
            made = operations.rounds.of(record.federation, record.life, round_number)
        if made is None:
            raise NoModelError(f"no round of {record.federation!r} has made a model yet: it has the initial one")
        model = operations.models.get(reference)
        exported = None if program is None else program(model)
        self._about = Metadata(
            federation=record.federation,
            life=record.life,
            round=made.round,
            metrics=made.metrics or {},
            model=model_component.file_of(model),
            task=task,
            program=None if exported is None else model_component.file_of(exported),
        )
        self._files = model_component.artifacts(self._about, model, exported)

    def prepare(self, component: str, version: str | None, bucket: str) -> Publication:
        """What `publish` would do; nothing is changed. `version` is None for the one after the highest there is.
        `bucket` is for a model that is not published yet.

        Raises:
            InvalidComponentError, VersionTakenError: see there.
        """
        if not _NAME.fullmatch(component):
            raise InvalidComponentError(
                f"component name {component!r}: use 1 to 128 of a-z, A-Z, 0-9, '.', '_' and '-'"
            )
        if version is not None and not _VERSION.fullmatch(version):
            raise InvalidComponentError(f"version {version!r}: write three numbers, such as 1.4.0")
        arn = component_versions.component_arn(self._greengrass, self._sts, component)
        versions = component_versions.published(self._greengrass, arn)
        recipes = {one: self._recipe_of(arn, one) for one in versions}
        said = {one: model_component.read_identity(recipe) for one, recipe in recipes.items()}
        if others := [one for one, model in said.items() if model is None]:
            raise InvalidComponentError(
                f"{component} is no component of models, {others[0]} holds none: name another, or none, for "
                f"{model_component.COMPONENT}{self._about.federation}"
            )
        same = next((one for one, model in said.items() if model == model_component.identity(self._about)), None)
        if same is None and version in versions:
            raise VersionTakenError(
                f"{component} {version} is published already, with another model: leave out --version, for "
                f"{component_versions.next_patch(versions)}"
            )
        chosen = same or version or component_versions.next_patch(versions)
        place = bucket, model_component.folder(component, self._files)
        if same is not None:
            place = model_component.read_place(recipes[same]) or place
        return Publication(
            component=component,
            version=chosen,
            arn=f"{arn}:versions:{chosen}",
            bucket=place[0],
            prefix=place[1],
            about=self._about,
            artifacts={name: model_component.file_of(data) for name, data in self._files.items()},
            is_there=same is not None,
        )

    def publish(self, prepared: Publication) -> None:
        """Upload the artifacts and make the component version; returns when it can be deployed.

        Raises:
            VersionTakenError: somebody else has made this version in the meantime.
            PublicationError: AWS does not take it; the text has its reason.
            TimeoutError: AWS takes too long to say.
        """
        account = self._sts.get_caller_identity()["Account"]
        uris = []
        for name, data in self._files.items():
            key = f"{prepared.prefix}/{name}"
            self._s3.put_object(
                Bucket=prepared.bucket,
                Key=key,
                Body=data,
                ChecksumSHA256=base64.b64encode(hashlib.sha256(data).digest()).decode(),
                ExpectedBucketOwner=account,
            )
            uris.append(f"s3://{prepared.bucket}/{key}")
        recipe = model_component.recipe(prepared.component, prepared.version, self._about, uris)
        try:
            self._greengrass.create_component_version(inlineRecipe=recipe)
        except ClientError as error:
            code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if code == "ConflictException":
                raise VersionTakenError(
                    f"{prepared.component} {prepared.version} was published by somebody else just now: run this again"
                ) from error
            if code == "ValidationException":
                raise PublicationError(f"{prepared.component} {prepared.version} is not taken: {text}") from error
            raise
        self._wait(prepared)

    def _recipe_of(self, arn: str, version: str) -> bytes:
        answer = self._greengrass.get_component(arn=f"{arn}:versions:{version}", recipeOutputFormat="JSON")
        return bytes(answer["recipe"])

    def _wait(self, prepared: Publication) -> None:
        given_up_at = time.monotonic() + _LIMIT_S
        while True:
            status = self._greengrass.describe_component(arn=prepared.arn)["status"]
            if status["componentState"] == "DEPLOYABLE":
                return
            if status["componentState"] in ("FAILED", "DEPRECATED"):
                raise PublicationError(
                    f"{prepared.component} {prepared.version} is {status['componentState']}: "
                    f"{status.get('message') or status.get('errors')}"
                )
            if time.monotonic() > given_up_at:
                raise TimeoutError(
                    f"{prepared.component} {prepared.version} is {status['componentState']} after {_LIMIT_S:.0f} s"
                )
            time.sleep(_POLL_S)
