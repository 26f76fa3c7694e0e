"""A round of honest members, and one member that is not."""

from typing import Any
from urllib.parse import unquote

import pytest
from botocore.exceptions import ClientError

from operations import aws_sessions
from operations.deployment import Deployment
from protocol import names
from sandbox.embedded_aws import EmbeddedAws
from sandbox.gateway import Request
from sandbox.nucleus.credentials import TokenExchangeRole
from tests.cloud.examples import update_of
from tests.cloud.simulated import SimulatedFederation, delta

HONEST = {"d0": 1.0, "d1": 2.0, "d2": 6.5}
"""Things, and what their updates add to each number."""

HOSTILE = "hostile"
CALM = "calm"


class Member:
    """A device, by the credentials that it gets from the token exchange service."""

    def __init__(self, aws: EmbeddedAws, deployed: Deployment, thing: str) -> None:
        self.thing = thing
        self.bucket = deployed.bucket
        role = TokenExchangeRole(aws.client("iam"), aws.client("sts"), deployed.device_policy_arn)
        credentials = role.assume(thing)
        session = aws_sessions.session(
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.token,
            region_name=aws.region,
        )
        self.s3: Any = session.client("s3", endpoint_url=aws.endpoint)

    def put(self, key: str, body: bytes, **headers: Any) -> str:
        """Store an object; returns its version."""
        return str(self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **headers)["VersionId"])

    def update_key(self, members: "Members", round_number: int = 1) -> str:
        """Where it may write, in a round."""
        return names.update_key(members.simulated.name, round_number, self.thing, members.simulated.life)

    def is_denied(self, operation: str, **arguments: Any) -> bool:
        """Whether S3 refuses the member an operation."""
        try:
            getattr(self.s3, operation)(Bucket=self.bucket, **arguments)
        except ClientError as error:
            return error.response["Error"]["Code"] in ("AccessDenied", "403")
        return False


@pytest.fixture(scope="session")
def hostile(aws: EmbeddedAws, deployed: Deployment) -> Member:
    """The member that attacks."""
    return Member(aws, deployed, HOSTILE)


class Answering:
    """What AWS answers to requests of a method for whatever this is the end of the path of."""

    def __init__(self, ending: str, status: str, code: str, method: str = "GET") -> None:
        self.count = 0
        self._ending = ending
        self._method = method
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        self._answer = f"{head}Connection: close\r\n\r\n".encode() + body

    def __call__(self, request: Request) -> bytes | None:
        if request.method != self._method or not unquote(request.path).endswith(self._ending):
            return None
        self.count += 1
        return self._answer


class Members:
    """A federation in which all but one are honest. Three updates end a round."""

    def __init__(self, simulated: SimulatedFederation) -> None:
        self.simulated = simulated

    def create(self, **settings: Any) -> None:
        """Make it, with all members in it."""
        self.simulated.create([*HONEST, HOSTILE], **{"rounds": 1, "target": 3} | settings)

    def begin(self, **settings: Any) -> None:
        """Make it, and return when its first round is open."""
        self.create(**settings)
        self.simulated.start()
        self.simulated.opened(1)

    def updates(self) -> dict[str, bytes]:
        """What the honest members upload in round 1."""
        return {
            thing: update_of(delta(value), self.simulated.report(thing, 1, examples=10 + index))
            for index, (thing, value) in enumerate(HONEST.items())
        }

    def answer(self, round_number: int = 1) -> None:
        """Let the honest members answer."""
        for index, (thing, value) in enumerate(HONEST.items()):
            self.simulated.answer(thing, round_number, value=value, examples=10 + index)

    def bits(self) -> dict[str, bytes]:
        """Every number of the current model."""
        return {name: array.tobytes() for name, array in self.simulated.current()[1].items()}


@pytest.fixture
def members(simulated: SimulatedFederation) -> Members:
    """A federation that no other test has."""
    return Members(simulated)


@pytest.fixture(scope="session")
def calm(aws: EmbeddedAws, deployed: Deployment) -> dict[str, bytes]:
    """The bits of the model after a first round in which the hostile member does nothing."""
    members = Members(SimulatedFederation(aws, deployed, CALM))
    members.begin()
    members.answer()
    assert members.simulated.ended(1).status == "closed"
    members.simulated.stop()
    return members.bits()
