"""Every name that both sides use: S3 keys, shadows, MQTT topics. They are built and parsed here and nowhere else.

A federation that is made anew under an old name has another life, and all its objects in a folder of their own: none
ever takes the place of an earlier one's. The life of federations that are older than lives is "".

The build of the component checks its recipe against these names: this runs with any Python from 3.9 on, and the
standard library alone.
"""

import os
import re
from typing import NamedTuple

_FEDERATION = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_LIFE = re.compile(r"[0-9a-f]{8}")
_UPDATE_KEY = re.compile(r"updates/([^/]+)/(?:([0-9a-f]{8})/)?([0-9]{8})/([^/]+)\.safetensors")
_FORMER_UPDATE_KEY = re.compile(r"federations/([^/]+)/(?:([0-9a-f]{8})/)?updates/([0-9]{8})/([^/]+)\.safetensors")
_MODEL_KEY = re.compile(r"federations/[^/]+/(?:([0-9a-f]{8})/)?models/([0-9]{8})\.safetensors")
_DOWNLOADED_KEY = re.compile(r"(federations/[^/]+/(?:[0-9a-f]{8}/)?)models/([0-9]{8})(?:\.bfloat16)?\.safetensors")

MAX_ROUND = 99_999_999

UPDATES_PREFIX = "updates/"
"""All that devices write lies below it, and nothing else: what they may do there, and how long it is kept, is bounded
by it."""

EXPIRING_TAG = "fedgrass=update"
"""The tag of the averager's intermediate results in S3, which a lifecycle rule deletes after a while."""


class InvalidNameError(ValueError):
    """A federation, a life, a thing or a key that does not have the form that fedgrass gives it."""


class UpdateName(NamedTuple):
    """Who sent an update, and for which round of which life of the federation: what its S3 key says."""

    federation: str
    round: int
    thing: str
    life: str = ""


class ModelName(NamedTuple):
    """Which round of which life of a federation made a model: what its S3 key says."""

    round: int
    life: str = ""


def check_federation(federation: str) -> str:
    """The name itself, if a federation may have it.

    Raises:
        InvalidNameError: it is not 1 to 40 of a-z, 0-9 and '-', starting with a letter or a digit.
    """
    if not _FEDERATION.fullmatch(federation):
        raise InvalidNameError(
            f"federation name {federation!r}: use 1 to 40 of a-z, 0-9 and '-', starting with a letter or a digit"
        )
    return federation


def check_thing(thing: str) -> str:
    """The name itself, if AWS IoT lets a thing have it.

    Raises:
        InvalidNameError: it is not 1 to 128 of a-z, A-Z, 0-9, ':', '_' and '-'.
    """
    if not _THING.fullmatch(thing):
        raise InvalidNameError(f"thing name {thing!r}: use 1 to 128 of a-z, A-Z, 0-9, ':', '_' and '-'")
    return thing


def new_life() -> str:
    """A life that no federation has had."""
    return os.urandom(4).hex()


def _folder(federation: str, life: str) -> str:
    if life and not _LIFE.fullmatch(life):
        raise InvalidNameError(f"life {life!r}: it has 8 of 0-9 and a-f, or none")
    return f"federations/{check_federation(federation)}/{life}{'/' if life else ''}"


def _round_digits(round_number: int) -> str:
    if not 0 <= round_number <= MAX_ROUND:
        raise InvalidNameError(f"round {round_number} is not between 0 and {MAX_ROUND}")
    return f"{round_number:08d}"


def model_key(federation: str, round_number: int, life: str = "") -> str:
    """S3 key of the global model that a round made; round 0 is the initial model."""
    return f"{_folder(federation, life)}models/{_round_digits(round_number)}.safetensors"


def bfloat16_key(federation: str, round_number: int, life: str = "") -> str:
    """S3 key of the bfloat16 copy of that model, which devices may download in its place."""
    return f"{_folder(federation, life)}models/{_round_digits(round_number)}.bfloat16.safetensors"


def optimizer_key(federation: str, round_number: int, life: str = "") -> str:
    """S3 key of the server optimizer's state that belongs to the model of the same round."""
    return f"{_folder(federation, life)}optimizer/{_round_digits(round_number)}.safetensors"


def ema_key(federation: str, round_number: int, life: str = "") -> str:
    """S3 key of the moving average of the global models up to that of this round."""
    return f"{_folder(federation, life)}ema/{_round_digits(round_number)}.safetensors"


def last_updates_key(federation: str, round_number: int, life: str = "") -> str:
    """S3 key of which update of each client was the last one up to the model of the same round; with that of the
    optimizer's state, which has their sum."""
    return f"{_folder(federation, life)}optimizer/{_round_digits(round_number)}.last-updates.json"


def average_beside(downloaded_key: str) -> str:
    """The `ema_key` of the average that belongs to a model, by the key of the model or of its bfloat16 copy.

    Raises:
        InvalidNameError: the key is neither.
    """
    match = _DOWNLOADED_KEY.fullmatch(downloaded_key)
    if match is None:
        raise InvalidNameError(f"{downloaded_key!r} is not the key of a model")
    return f"{match[1]}ema/{match[2]}.safetensors"


def partial_key(federation: str, round_number: int, name: str, life: str = "") -> str:
    """S3 key of an intermediate result of averaging a round."""
    return f"{_folder(federation, life)}partial/{_round_digits(round_number)}/{name}"


def parse_model_key(key: str) -> ModelName:
    """The life and the round that made the global model of this key; the inverse of `model_key`.

    Raises:
        InvalidNameError: the key is not a model's.
    """
    match = _MODEL_KEY.fullmatch(key)
    if match is None:
        raise InvalidNameError(f"{key!r} is not the key of a model")
    return ModelName(int(match[2]), match[1] or "")


def update_key(federation: str, round_number: int, thing: str, life: str = "") -> str:
    """S3 key of one client's update in one round. The device's role lets it write under its own name only."""
    folder = _folder(federation, life).removeprefix("federations/")
    return f"{UPDATES_PREFIX}{folder}{_round_digits(round_number)}/{check_thing(thing)}.safetensors"


def former_update_key(federation: str, round_number: int, thing: str, life: str = "") -> str:
    """The key that an update had before `update_key`: a device could write beside the models as well."""
    return f"{_folder(federation, life)}updates/{_round_digits(round_number)}/{check_thing(thing)}.safetensors"


def parse_update_key(key: str) -> UpdateName:
    """The sender and round that a key names; the inverse of `update_key`, and of `former_update_key`.

    Raises:
        InvalidNameError: the key is not an update's.
    """
    match = _UPDATE_KEY.fullmatch(key) or _FORMER_UPDATE_KEY.fullmatch(key)
    if match is None:
        raise InvalidNameError(f"{key!r} is not the key of an update")
    federation, life, digits, thing = match.groups()
    return UpdateName(check_federation(federation), int(digits), check_thing(thing), life or "")


def shadow_name(federation: str) -> str:
    """Name of the named shadow through which a client gets its assignments."""
    return f"fedgrass-{check_federation(federation)}"


def parse_shadow_name(shadow: str) -> str:
    """The federation that a named shadow belongs to; the inverse of `shadow_name`.

    Raises:
        InvalidNameError: it is not one of fedgrass's.
    """
    if not shadow.startswith("fedgrass-"):
        raise InvalidNameError(f"{shadow!r} is not the name of a shadow of fedgrass")
    return check_federation(shadow.removeprefix("fedgrass-"))


def shadow_topic(federation: str, thing: str, operation: str) -> str:
    """MQTT topic of that shadow; `operation` is the tail: get, get/accepted, update, update/delta, ..."""
    return f"$aws/things/{check_thing(thing)}/shadow/name/{shadow_name(federation)}/{operation}"


def round_topic(federation: str) -> str:
    """MQTT topic on which the cloud publishes the state of the current round (retained, for dashboards)."""
    return f"fedgrass/{check_federation(federation)}/round"


def hello_topic(federation: str, thing: str) -> str:
    """MQTT topic on which a client says that it exists and what it can do."""
    return f"fedgrass/{check_federation(federation)}/clients/{check_thing(thing)}/hello"


SHADOW_ANSWERS = ("get/accepted", "get/rejected", "update/delta", "update/rejected")
"""What a client listens to of its shadow."""

SHADOW_REQUESTS = ("get", "update")
"""What it sends to it."""


def subscribed_topics(federation: str, thing: str) -> tuple[str, ...]:
    """All MQTT topics that a client subscribes to: the component's recipe has to allow them."""
    return tuple(shadow_topic(federation, thing, answer) for answer in SHADOW_ANSWERS)


def published_topics(federation: str, thing: str) -> tuple[str, ...]:
    """All MQTT topics that a client publishes to: the component's recipe has to allow them."""
    requests = (shadow_topic(federation, thing, request) for request in SHADOW_REQUESTS)
    return (*requests, hello_topic(federation, thing))
