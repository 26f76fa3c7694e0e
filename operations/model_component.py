"""A trained model as a component of AWS IoT Greengrass: files, and a recipe without anything to run. Pure functions."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

MODEL, PROGRAM, METADATA = "model.safetensors", "model.pt2", "model.json"
"""The artifacts: the tensors, the network with them as torch.export writes it, and what is said about both."""

PREFIX = "published/"
"""Where they lie in the stack's bucket: devices may read what is below it."""

COMPONENT = "com.fedgrass.Model."
"""With the federation's name behind it, what the component is called if nothing else is asked for."""


class File(msgspec.Struct, frozen=True):
    """Which bytes an artifact has; `sha256` is in hexadecimal digits."""

    sha256: str
    bytes: int


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """model.json: where the model comes from. `metrics` are those of the round that made it; `task` is the SHA-256 of
    the code that was exported, and `program` what that gave, if it was."""

    v: int = 1
    federation: str
    life: str
    round: int
    metrics: dict[str, float]
    model: File
    task: str | None = None
    program: File | None = None


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What a recipe says of the model in it, by which the same one is known again."""

    federation: str
    round: int
    sha256: str
    task: str | None = None


class _Configuration(msgspec.Struct, rename="pascal"):
    default_configuration: Published


class _Recipe(msgspec.Struct, rename="pascal"):
    component_configuration: _Configuration


class _Artifact(msgspec.Struct, rename="pascal"):
    uri: str


class _Manifest(msgspec.Struct, rename="pascal"):
    artifacts: list[_Artifact] = []


class _Manifests(msgspec.Struct, rename="pascal"):
    manifests: list[_Manifest]


def file_of(data: bytes) -> File:
    """What is said of an artifact with these bytes."""
    return File(hashlib.sha256(data).hexdigest(), len(data))


def identity(about: Metadata) -> Published:
    """A program that is exported twice need not have the same bytes: what it was exported from tells."""
    return Published(federation=about.federation, round=about.round, sha256=about.model.sha256, task=about.task)


def artifacts(about: Metadata, model: bytes, program: bytes | None) -> dict[str, bytes]:
    """File name -> what is in it."""
    described = msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n"
    return {MODEL: model, METADATA: described} | ({} if program is None else {PROGRAM: program})


def folder(component: str, files: Mapping[str, bytes]) -> str:
    """Where the artifacts are put: under what is in them, so that nothing is ever overwritten by something else."""
    return f"{PREFIX}{component}/{hashlib.sha256(files[METADATA]).hexdigest()}"


def recipe(component: str, version: str, about: Metadata, uris: list[str]) -> bytes:
    """In JSON, in which nucleus lite keeps numbers. There is nothing to run, so a component depends on this one SOFT:
    nucleus lite could not start what is bound to it."""
    document: dict[str, Any] = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": component,
        "ComponentVersion": version,
        "ComponentDescription": f"The model of round {about.round} of the federation {about.federation}",
        "ComponentPublisher": "fedgrass",
        "ComponentConfiguration": {"DefaultConfiguration": msgspec.to_builtins(identity(about))},
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Artifacts": [{"Uri": uri, "Permission": {"Read": "ALL"}} for uri in uris],
                "Lifecycle": {},
            }
        ],
    }
    return msgspec.json.encode(document)


def read_identity(text: bytes) -> Published | None:
    """What a recipe in JSON says of the model in it; None of one that was not made by `recipe`."""
    try:
        return msgspec.json.decode(text, type=_Recipe).component_configuration.default_configuration
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def read_place(text: bytes) -> tuple[str, str] | None:
    """The bucket and the folder in it where a recipe in JSON has its model; None of one that was not made by
    `recipe`."""
    try:
        manifests = msgspec.json.decode(text, type=_Manifests).manifests
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    uris = (artifact.uri for manifest in manifests for artifact in manifest.artifacts)
    model = next((uri for uri in uris if uri.startswith("s3://") and uri.endswith(f"/{MODEL}")), None)
    if model is None:
        return None
    bucket, _, key = model.removeprefix("s3://").partition("/")
    return bucket, key.rpartition("/")[0]
