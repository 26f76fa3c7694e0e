"""The member that attacks: a device's certificate, and the credentials that it gets for it, and nothing else."""

import http.client
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus.credentials import TokenExchangeRole
from sandbox.nucleus.mqtt import Broker, Identity
from trials.attacks.attack import UnexplainedError, Verdict, accepted, refused
from trials.attacks.mqtt_session import Session, Will, verdict_on

_DENIALS = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "Forbidden",
        "ForbiddenException",
        "UnauthorizedOperation",
    }
)
_HTTP_LIMIT_S = 60.0
_FORBIDDEN = 403
_CODE = re.compile("<Code>([A-Za-z]+)</Code>")


class Member:
    """One thing, with what it has been given."""

    def __init__(self, aws: EmbeddedAws, role: TokenExchangeRole, identity: Identity, broker: Broker) -> None:
        self.thing = identity.thing
        self.identity = identity
        self.broker = broker
        given = role.assume(self.thing)
        self.credentials = Credentials(given.access_key_id, given.secret_access_key, given.token)
        self._aws = aws
        self._session = boto3.Session(
            aws_access_key_id=given.access_key_id,
            aws_secret_access_key=given.secret_access_key,
            aws_session_token=given.token,
            region_name=aws.region,
        )
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Its client of a service of AWS."""
        if service not in self._clients:
            session: Any = self._session  # its stubs take literal service names only
            once = Config(retries={"mode": "standard", "total_max_attempts": 1})
            self._clients[service] = session.client(service, endpoint_url=self._aws.endpoint, config=once)
        return self._clients[service]

    def calls(self, service: str, operation: str, **arguments: Any) -> Verdict:
        """The verdict on a call of AWS.

        Raises:
            UnexplainedError: it fails for another reason than that it is not allowed.
        """
        try:
            getattr(self.client(service), operation)(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in _DENIALS:
                raise UnexplainedError(f"{service} {operation}: {error}") from error
            return refused(f"{service}: {code}")
        return accepted(f"{service} {operation} was allowed")

    def requests(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, signed: bool = True
    ) -> Verdict:
        """The verdict on a request of S3 that is made by hand: the path goes over the wire as it is."""
        url = urlsplit(self._aws.endpoint)
        request = AWSRequest(method, f"{self._aws.endpoint}{path}", dict(headers or {}), body)
        if signed:
            S3SigV4Auth(self.credentials, "s3", self._aws.region).add_auth(request)
        connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=_HTTP_LIMIT_S)
        try:
            connection.request(method, path, body, dict(request.headers.items()))
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        if answer.status == _FORBIDDEN:
            code = _CODE.search(text)
            return refused(f"s3: {code[1] if code else answer.status}")
        if answer.status >= http.client.BAD_REQUEST:
            raise UnexplainedError(f"{method} {path}: {answer.status} {text[:300]}")
        return accepted(f"s3 answered {answer.status}")

    def connects(self, client_id: str, *, will: Will | None = None, stored: bool = False) -> Verdict:
        """The verdict on an MQTT connection."""

        def ask() -> int:
            with Session(self.broker, self.identity) as session:
                return session.connect(client_id, will=will, stored=stored)

        return verdict_on(ask)

    def publishes(self, topic: str, payload: object, *, retain: bool = False) -> Verdict:
        """The verdict on a message, over a connection of its own under its own name; what is no bytes is JSON."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self._asks(lambda session: session.publish(topic, data, retain=retain))

    def subscribes(self, topic_filter: str) -> Verdict:
        """The verdict on a subscription, over such a connection."""
        return self._asks(lambda session: session.subscribe(topic_filter))

    def _asks(self, question: Callable[[Session], int]) -> Verdict:
        with Session(self.broker, self.identity) as session:
            if code := session.connect(self.thing):
                raise UnexplainedError(f"{self.thing} can't connect under its own name: {code:#04x}")
            return verdict_on(lambda: question(session))
