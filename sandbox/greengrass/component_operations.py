"""The API's operations on component versions."""

import base64
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlparse

from botocore.exceptions import ClientError

from sandbox.greengrass import recipes
from sandbox.greengrass.arns import Arns
from sandbox.greengrass.components import Components, ComponentVersion
from sandbox.greengrass.errors import NotFoundError, ValidationError
from sandbox.greengrass.operations import Operation, Parameters, Result, page
from sandbox.greengrass.versions import Requirement

_PIECE_BYTES = 1 << 20


class ComponentOperations:
    """By an administrator's client of S3, which reads artifacts for their digests."""

    def __init__(self, components: Components, arns: Arns, s3: Callable[[], Any], lock: threading.RLock) -> None:
        self._components = components
        self._arns = arns
        self._s3 = s3
        self._lock = lock

    @property
    def operations(self) -> Mapping[str, Operation]:
        """By their names."""
        return {
            "CreateComponentVersion": self._create_component_version,
            "DescribeComponent": self._describe_component,
            "GetComponent": self._get_component,
            "ListComponents": self._list_components,
            "ListComponentVersions": self._list_component_versions,
            "DeleteComponent": self._delete_component,
            "ResolveComponentCandidates": self._resolve_component_candidates,
        }

    def resolve(self, name: str, requirements: Sequence[Requirement]) -> ComponentVersion | None:
        """The highest version of a component that meets them all, None if there is none."""
        with self._lock:
            found = self._components.of(name)
        return next((one for one in found if all(one.version in wanted for wanted in requirements)), None)

    def _create_component_version(self, asked: Parameters) -> Result:
        if asked.get("lambdaFunction") is not None:
            raise ValidationError("Invalid Input: components of Lambda functions are not in this sandbox")
        if asked.get("inlineRecipe") is None:
            raise ValidationError("Invalid Input: either inlineRecipe or lambdaFunction must be provided")
        recipe = recipes.read(asked["inlineRecipe"])
        with self._lock:
            self._components.check_new(recipe)
        document = recipes.with_digests(recipe.document, self._digests(recipe.artifacts))
        with self._lock:
            made = self._components.add(recipe, document, dict(asked.get("tags") or {}), datetime.now(UTC))
        return {
            "arn": made.arn,
            "componentName": made.name,
            "componentVersion": made.version,
            "creationTimestamp": made.created_at,
            "status": {"componentState": "REQUESTED", "message": "NONE", "errors": {}},
        }

    def _digests(self, uris: Sequence[str]) -> dict[str, str]:
        digests, errors = {}, []
        for uri in uris:
            if urlparse(uri).scheme != "s3":
                continue
            try:
                digests[uri] = self._digest(uri)
            except ClientError:
                errors.append(f"{uri} = Specified artifact resource cannot be accessed")
        if errors:
            raise ValidationError(f"Invalid Input: Encountered following errors in Artifacts: {{{', '.join(errors)}}}")
        return digests

    def _digest(self, uri: str) -> str:
        address = urlparse(uri)
        found = self._s3().get_object(Bucket=address.netloc, Key=address.path.lstrip("/"))
        digest = hashlib.sha256()
        for piece in found["Body"].iter_chunks(_PIECE_BYTES):
            digest.update(piece)
        return base64.b64encode(digest.digest()).decode()

    def _describe_component(self, asked: Parameters) -> Result:
        found = self._component(asked["arn"])
        return _facts_of(found) | {
            "componentName": found.name,
            "status": {"componentState": "DEPLOYABLE", "message": "NONE", "errors": {}},
            "tags": found.tags,
        }

    def _get_component(self, asked: Parameters) -> Result:
        found = self._component(asked["arn"])
        form = asked.get("recipeOutputFormat", "JSON")
        return {"recipeOutputFormat": form, "recipe": recipes.written(found.document, form), "tags": found.tags}

    def _list_components(self, asked: Parameters) -> Result:
        with self._lock:
            found = self._components.latest(asked.get("scope", "PRIVATE"))
        items = [
            {
                "arn": self._arns.without_version(one.arn),
                "componentName": one.name,
                "latestVersion": _facts_of(one),
            }
            for one in found
        ]
        return page("components", items, asked)

    def _list_component_versions(self, asked: Parameters) -> Result:
        with self._lock:
            found = self._components.versions(asked["arn"])
        items = [{"arn": one.arn, "componentName": one.name, "componentVersion": one.version} for one in found]
        return page("componentVersions", items, asked)

    def _delete_component(self, asked: Parameters) -> Result:
        with self._lock:
            self._components.remove(asked["arn"])
        return {}

    def _resolve_component_candidates(self, asked: Parameters) -> Result:
        resolved = []
        for candidate in asked.get("componentCandidates") or ():
            name, wanted = candidate["componentName"], candidate.get("versionRequirements") or {}
            found = self.resolve(name, [Requirement(text) for text in wanted.values()])
            if found is None:
                by = ", ".join(f"{text} ({of})" for of, text in wanted.items())
                raise NotFoundError(f"No version of component {name} satisfies {by}", "component", name)
            one = {"arn": found.arn, "componentName": found.name, "componentVersion": found.version}
            resolved.append(one | {"recipe": recipes.written(found.document, "JSON")})
        return {"resolvedComponentVersions": resolved}

    def _component(self, arn: str) -> ComponentVersion:
        with self._lock:
            return self._components.at(arn)


def _facts_of(component: ComponentVersion) -> Result:
    return {
        "arn": component.arn,
        "componentVersion": component.version,
        "creationTimestamp": component.created_at,
        "description": component.recipe.description,
        "publisher": component.recipe.publisher,
        "platforms": [
            {"name": platform.name, "attributes": platform.attributes} for platform in component.recipe.platforms
        ],
    }
