"""AWS credentials for devices: what the token exchange service gives to components, bounded to the device's names.

In AWS the credentials provider of IoT puts the thing's name for `${credentials-iot:ThingName}` in the policies of the
token exchange role. The embedded AWS has no such provider, so that is done here: the role allows what the policy
allows to any thing, and each device's session is narrowed to the policy with its own name filled in.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec

logger = logging.getLogger(__name__)

THING_NAME_VARIABLE = "${credentials-iot:ThingName}"
THING_NAME_TAG = "ThingName"
"""Of a session: what the embedded AWS gives policies for the variable, where they ask for it as a condition."""

PATH = "/2016-11-01/credentialprovider/"
ROLE_NAME = "fedgrass-sandbox-token-exchange"
DURATION_S = 3600
RENEW_BEFORE = timedelta(minutes=5)
_MAX_REQUEST_BYTES = 16_384


class Credentials(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """As the endpoint answers them."""

    access_key_id: str
    secret_access_key: str
    token: str
    expiration: datetime


class TokenExchangeRole:
    """The role that devices get their credentials from. The IAM and STS clients are an administrator's."""

    def __init__(self, iam: Any, sts: Any, policy_arn: str) -> None:
        """`policy_arn` is a managed policy, in which the variable stands for the thing's name."""
        self._sts = sts
        version = iam.get_policy(PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
        policy = iam.get_policy_version(PolicyArn=policy_arn, VersionId=version)["PolicyVersion"]["Document"]
        self._policy = policy if isinstance(policy, str) else json.dumps(policy)
        self._arn = self._create(iam, policy_arn)

    def assume(self, thing: str) -> Credentials:
        """New credentials of one device, for its components."""
        policy = self._policy.replace(THING_NAME_VARIABLE, thing)
        return self._assume(thing, Policy=policy, Tags=[{"Key": THING_NAME_TAG, "Value": thing}])

    def assume_whole(self) -> Credentials:
        """New credentials for all that the role allows, by which a nucleus gets artifacts."""
        return self._assume("nucleus")

    def _assume(self, session: str, **options: Any) -> Credentials:
        answer = self._sts.assume_role(
            RoleArn=self._arn, RoleSessionName=session[:64], DurationSeconds=DURATION_S, **options
        )["Credentials"]
        return Credentials(
            access_key_id=answer["AccessKeyId"],
            secret_access_key=answer["SecretAccessKey"],
            token=answer["SessionToken"],
            expiration=answer["Expiration"],
        )

    def _create(self, iam: Any, policy_arn: str) -> str:
        account = self._sts.get_caller_identity()["Account"]
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                    "Action": ["sts:AssumeRole", "sts:TagSession"],
                },
                # As in AWS, whose provider of credentials is not here to use it.
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "credentials.iot.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                },
            ],
        }
        try:
            role = iam.create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        except iam.exceptions.EntityAlreadyExistsException:
            role = iam.get_role(RoleName=ROLE_NAME)["Role"]
        any_thing = self._policy.replace(THING_NAME_VARIABLE, "*")
        iam.attach_role_policy(RoleName=ROLE_NAME, PolicyArn=policy_arn)
        iam.put_role_policy(RoleName=ROLE_NAME, PolicyName=policy_arn.rpartition("/")[2], PolicyDocument=any_thing)
        return str(role["Arn"])


class CredentialsTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What the nuclei's services do differently: how they answer if AWS gives no credentials, to a wrong token, and at
    another path; and whether the service is a process of its own, which what depends on it is bound to."""

    none: tuple[HTTPStatus, bytes]
    wrong_token: tuple[HTTPStatus, bytes]
    wrong_path: tuple[HTTPStatus, bytes]
    stands_alone: bool


class CredentialsServer:
    """The HTTP endpoint on loopback where a device's components get its credentials, with the SVCUID as authorization
    token. If `refused` is set, AWS gives it none."""

    def __init__(
        self,
        thing: str,
        authenticate: Callable[[str], str | None],
        assume: Callable[[str], Credentials],
        traits: CredentialsTraits,
    ) -> None:
        """`authenticate` tells which component a token is of, None for none; `assume` gives new credentials for a
        thing, and is called in threads."""
        self.refused = False
        self._thing = thing
        self._authenticate = authenticate
        self._assume = assume
        self._traits = traits
        self._server: asyncio.Server | None = None
        self._cached: Credentials | None = None
        self._lock = asyncio.Lock()

    @property
    def url(self) -> str:
        """AWS_CONTAINER_CREDENTIALS_FULL_URI."""
        if self._server is None:
            raise RuntimeError("the credentials endpoint is not started")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{PATH}"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MAX_REQUEST_BYTES)

    async def restart(self) -> None:
        """Listen on another port."""
        before, self._server = self._server, None
        await self.start()
        if before is not None:
            before.close()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def gave(self, access_key_id: str) -> bool:
        """Whether the credentials that it gave last have this key. It may be called in any thread."""
        return self._cached is not None and self._cached.access_key_id == access_key_id

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, body = await self._answer(request)
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
            logger.debug("credentials request dropped: %s", error)
        finally:
            writer.close()

    async def _answer(self, request: str) -> tuple[HTTPStatus, bytes]:
        request_line, *lines = request.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, path, *_ = [*request_line.split(" "), "", ""]
        if method != "GET" or path.rstrip("/") != PATH.rstrip("/"):
            return self._traits.wrong_path
        if self._authenticate(headers.get("authorization", "")) is None:
            return self._traits.wrong_token
        if self.refused:
            return self._traits.none
        try:
            return HTTPStatus.OK, msgspec.json.encode(await self._credentials())
        except Exception:
            logger.exception("no credentials for %s", self._thing)
            return self._traits.none

    async def _credentials(self) -> Credentials:
        async with self._lock:
            if self._cached is None or self._cached.expiration - RENEW_BEFORE < datetime.now(UTC):
                loop = asyncio.get_running_loop()
                self._cached = await loop.run_in_executor(None, self._assume, self._thing)
            return self._cached
