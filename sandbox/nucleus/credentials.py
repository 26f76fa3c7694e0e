"""AWS credentials for devices: what the token exchange service gives to components, bounded to the device's names.

In AWS the credentials provider of IoT puts the thing's name for `${credentials-iot:ThingName}` in the policies of the
token exchange role. The embedded AWS has no such provider, so that is done here: the role allows what the policy
allows to any thing, and each device's session is narrowed to the policy with its own name filled in.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec

logger = logging.getLogger(__name__)

THING_NAME_VARIABLE = "${credentials-iot:ThingName}"
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
        self._arn = self._create(iam)

    def assume(self, thing: str) -> Credentials:
        """New credentials of one device."""
        answer = self._sts.assume_role(
            RoleArn=self._arn,
            RoleSessionName=thing[:64],
            DurationSeconds=DURATION_S,
            Policy=self._policy.replace(THING_NAME_VARIABLE, thing),
        )["Credentials"]
        return Credentials(
            access_key_id=answer["AccessKeyId"],
            secret_access_key=answer["SecretAccessKey"],
            token=answer["SessionToken"],
            expiration=answer["Expiration"],
        )

    def _create(self, iam: Any) -> str:
        account = self._sts.get_caller_identity()["Account"]
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        try:
            role = iam.create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        except iam.exceptions.EntityAlreadyExistsException:
            role = iam.get_role(RoleName=ROLE_NAME)["Role"]
        any_thing = self._policy.replace(THING_NAME_VARIABLE, "*")
        iam.put_role_policy(RoleName=ROLE_NAME, PolicyName="any-device", PolicyDocument=any_thing)
        return str(role["Arn"])


class CredentialsServer:
    """The HTTP endpoint on loopback where components get their device's credentials. One serves all devices of a
    sandbox: the authorization token tells which device asks."""

    def __init__(self, assume: Callable[[str], Credentials]) -> None:
        """`assume` gives new credentials for a thing; it is called in threads."""
        self._assume = assume
        self._server: asyncio.Server | None = None
        self._things: dict[str, str] = {}
        self._cache: dict[str, Credentials] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    @property
    def url(self) -> str:
        """AWS_CONTAINER_CREDENTIALS_FULL_URI."""
        if self._server is None:
            raise RuntimeError("the credentials endpoint is not started")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{PATH}"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MAX_REQUEST_BYTES)

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def admit(self, thing: str) -> str:
        """A new AWS_CONTAINER_AUTHORIZATION_TOKEN for a device's component."""
        token = secrets.token_urlsafe(32)
        self._things[token] = thing
        return token

    def revoke(self, token: str) -> None:
        """Make a token worthless."""
        self._things.pop(token, None)

    def holder(self, access_key_id: str) -> str | None:
        """The thing that was given the credentials with this key last, None if none was."""
        given = list(self._cache.items())  # as one: it may be called in any thread
        return next((thing for thing, credentials in given if credentials.access_key_id == access_key_id), None)

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
        thing = self._things.get(headers.get("authorization", ""))
        if method != "GET" or path.rstrip("/") != PATH.rstrip("/"):
            return HTTPStatus.NOT_FOUND, b'{"message": "no such resource"}'
        if thing is None:
            return HTTPStatus.FORBIDDEN, b'{"message": "wrong authorization token"}'
        try:
            return HTTPStatus.OK, msgspec.json.encode(await self._credentials(thing))
        except Exception:
            logger.exception("no credentials for %s", thing)
            return HTTPStatus.INTERNAL_SERVER_ERROR, b'{"message": "token exchange failed"}'

    async def _credentials(self, thing: str) -> Credentials:
        async with self._locks.setdefault(thing, asyncio.Lock()):
            cached = self._cache.get(thing)
            if cached is None or cached.expiration - RENEW_BEFORE < datetime.now(UTC):
                loop = asyncio.get_running_loop()
                cached = self._cache[thing] = await loop.run_in_executor(None, self._assume, thing)
            return cached
