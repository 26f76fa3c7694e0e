"""cli/errors/: every error that can reach a user has one stable code."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ReadTimeoutError,
    SSOTokenLoadError,
)

from cli.commands.aws import aws_clients
from cli.errors.explained import explained, is_bug, kind_of
from cli.errors.kind import RelayedError
from cli.errors.table import INTERNAL, KINDS
from cli.preflight import UnknownGroupError
from protocol.messages import UnsupportedVersionError
from sandbox.embedded_aws import EmbeddedAws
from tests.test_rooms import ROOMS, modules

ELSEWHERE = {
    "components.client.agent": "on devices",
    "components.client.trainer": "on devices; a check makes findings of them",
    "components.runtime": "on devices",
    "components.inference": "on devices",
    "components.recipe_text.RecipeTextError": "is made a RecipeError",
    "cloud.averager": "in functions",
    "cloud.averaging": "in functions",
    "cloud.initiator": "in functions",
    "cloud.state": "in functions",
    "operations.doctoring.finding.NotCheckedError": "is made a finding",
    "cli.watching.GoneError": "is made the end of watching",
    "sandbox.nucleus": "in stand-ins of devices",
    "sandbox.greengrass": "are answered, or met in stand-ins of devices",
    "sandbox.recipe_keys.RecipeError": "is answered, or met in stand-ins of devices",
    "cloud.settings.InvalidSettingsError": "msgspec tells it as its own",
    "cli.checking.cutting_off.CutOffError": "is made a finding",
    "cli.initial_model.InitialModelError": "is made a finding",
    "cli.settings.yaml_file.InvalidYamlError": "is made a ProjectError",
    "operations.fleets.access.ForeignPolicyError": "is a step that remains",
    "operations.fleets.configuration.UnknownKeyError": "is made a ConfigurationFileError",
    "operations.role_denials.UnreadablePolicyError": "is a step that remains",
    "operations.role_denials.LostChangeError": "is a step that remains",
    "protocol.encodings.NotFiniteError": "on devices",
    "fedgrass.task.NotLoadedError": "in a script that calls a task's functions itself",
    "sandbox.footprint.NoConnectionError": "of a benchmark",
    "sandbox.gateway.MalformedRequestError": "is answered",
    "cli.errors.kind.ResultError": "only what inherits from it is raised",
    "cli.errors.kind.RelayedError": "has the code of another command's error",
}
"""Errors that don't reach the user of a command, by place or by name, and where they go."""

ERROR_CLASS = re.compile(r"^ *class (\w+(?:Error|Exception|Interrupt))\(([^)]*)\)", re.MULTILINE)

KNOWN = {name for kind in KINDS for name in kind.raised_as}


@cache
def own_errors() -> dict[str, list[str]]:
    """The project's exceptions: full name -> bases."""
    return dict(_errors())


def _errors() -> Iterator[tuple[str, list[str]]]:
    for module, path in modules(*ROOMS - {"tests", "trials", "benchmarks", "website"}).items():
        for name, bases in ERROR_CLASS.findall(path.read_text()):
            yield f"{module}.{name}", re.split(r",\s*", bases)


def has_code(name: str) -> bool:
    return name in KNOWN or any(
        has_code(base) for of in own_errors()[name] for base in own_errors() if base.endswith(f".{of}")
    )


@pytest.mark.parametrize("name", sorted(own_errors()))
def test_an_error_has_a_code_or_does_not_reach_the_user(name: str) -> None:
    elsewhere = any(f"{name}.".startswith(f"{place}.") for place in ELSEWHERE)
    built_in = {f"builtins.{base}" for base in own_errors()[name]} & KNOWN
    assert has_code(name) or built_in or elsewhere, f"give {name} a line in cli/errors/table.py"


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_class_that_has_a_code_exists(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    found = getattr(import_module(module), attribute)
    assert issubclass(found, BaseException)
    assert f"{found.__module__}.{found.__qualname__}" == name


def test_codes_and_classes_are_unique_and_in_snake_case() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
    named = [name for kind in KINDS for name in kind.raised_as]
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (UnknownGroupError(), "unknown_thing_group", 1),
        (UnsupportedVersionError(), "invalid_message", 1),
        (FileNotFoundError(2, "No such file"), "file_not_found", 2),
        (OSError(28, "No space left on device"), "os_error", 1),
        (TimeoutError("too long"), "timed_out", 4),
        (KeyError("a bug"), "internal_error", 1),
        (ValueError("a bug"), "internal_error", 1),
    ],
)
def test_an_error_has_the_code_of_the_nearest_class(error: Exception, code: str, status: int) -> None:
    found = explained(error)
    assert (found.code, found.exit_code) == (code, status)


def answer(code: str, status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": "as AWS says"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "DescribeStacks")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "code", "status", "remedy"),
    [
        (NoCredentialsError(), "no_credentials", 3, "aws configure"),
        (NoRegionError(), "no_region", 3, "AWS_DEFAULT_REGION"),
        (ProfileNotFound(profile="x"), "invalid_aws_configuration", 3, "AWS_PROFILE"),
        (SSOTokenLoadError(error_msg="none"), "expired_credentials", 3, "aws sso login"),
        (EndpointConnectionError(endpoint_url="http://x"), "endpoint_unreachable", 3, "network"),
        (ConnectTimeoutError(endpoint_url="http://x"), "endpoint_unreachable", 3, "network"),
        (ReadTimeoutError(endpoint_url="http://x"), "aws_timed_out", 4, "again"),
        (answer("ExpiredToken", 403), "expired_credentials", 3, "aws sso login"),
        (answer("InvalidClientTokenId", 403), "invalid_credentials", 3, "AWS_PROFILE"),
        (answer("SignatureDoesNotMatch", 403), "invalid_credentials", 3, "clock"),
        (answer("AccessDenied", 403), "access_denied", 3, "permission"),
        (answer("Throttling"), "throttled", 3, "wait"),
        (answer("ServiceUnavailable", 503), "aws_unavailable", 3, "wait"),
        (answer("ValidationError"), "aws_error", 1, "refused"),
        (answer("ResourceNotFoundException"), "missing_resource", 1, "doctor"),
        (answer("NoSuchBucket", 404), "missing_resource", 1, "doctor"),
    ],
)
def test_what_boto3_raises_is_told_with_a_remedy_and_in_its_own_words(
    error: Exception, code: str, status: int, remedy: str
) -> None:
    found = explained(error)
    assert (found.code, found.exit_code) == (code, status)
    assert remedy in found.message
    assert str(error) in found.message


def test_errors_that_a_client_has_classes_for_are_those_of_aws(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    iot = aws_clients()("iot")
    with pytest.raises(iot.exceptions.ResourceNotFoundException) as raised:
        iot.describe_thing(thingName="nobody")
    assert kind_of(raised.value).code == "missing_resource"
    assert kind_of(raised.value) is not INTERNAL


def test_what_another_command_has_failed_with_is_no_bug_of_this_one() -> None:
    assert is_bug(KeyError("x"))
    for error in (RelayedError("invalid_client_data", 2, "no"), FileNotFoundError("no")):
        assert not is_bug(error)
