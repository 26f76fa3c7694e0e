"""The token exchange endpoint, asked as an SDK asks it."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from sandbox.nucleus.credentials import RENEW_BEFORE, Credentials, CredentialsServer


class Role:
    """Gives credentials that are valid for `duration`, and counts."""

    def __init__(self, duration: timedelta) -> None:
        self.duration = duration
        self.asked: list[str] = []

    def assume(self, thing: str) -> Credentials:
        self.asked.append(thing)
        return Credentials(
            access_key_id=f"AKIA{thing}",
            secret_access_key="secret",  # noqa: S106
            token="token",  # noqa: S106
            expiration=datetime.now(UTC) + self.duration,
        )


async def ask(server: CredentialsServer, token: str | None, *, path: str | None = None) -> tuple[int, bytes]:
    address, _, rest = server.url.removeprefix("http://").partition("/")
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    authorization = "" if token is None else f"Authorization: {token}\r\n"
    writer.write(f"GET {path or '/' + rest} HTTP/1.1\r\nHost: {address}\r\n{authorization}\r\n".encode())
    async with asyncio.timeout(60):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ")[1]), body


def test_a_component_gets_its_devices_credentials_in_the_form_of_the_sdks() -> None:
    async def scenario() -> None:
        server = CredentialsServer(Role(timedelta(hours=1)).assume)
        await server.start()
        status, body = await ask(server, server.admit("thing-1"))
        server.stop()
        answer = msgspec.json.decode(body)
        assert status == 200
        assert answer.keys() == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
        assert answer["AccessKeyId"] == "AKIAthing-1"
        assert datetime.fromisoformat(answer["Expiration"]) > datetime.now(UTC)

    asyncio.run(scenario())


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_a_wrong_token_is_forbidden(token: str | None) -> None:
    async def scenario() -> None:
        role = Role(timedelta(hours=1))
        server = CredentialsServer(role.assume)
        await server.start()
        server.admit("thing-1")
        assert (await ask(server, token))[0] == 403
        server.stop()
        assert not role.asked

    asyncio.run(scenario())


def test_a_token_is_worthless_when_its_process_has_ended() -> None:
    async def scenario() -> None:
        server = CredentialsServer(Role(timedelta(hours=1)).assume)
        await server.start()
        token = server.admit("thing-1")
        server.revoke(token)
        assert (await ask(server, token))[0] == 403
        server.stop()

    asyncio.run(scenario())


def test_another_path_is_not_there() -> None:
    async def scenario() -> None:
        server = CredentialsServer(Role(timedelta(hours=1)).assume)
        await server.start()
        assert (await ask(server, server.admit("thing-1"), path="/latest/meta-data"))[0] == 404
        server.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(("duration", "times"), [(timedelta(hours=1), 1), (RENEW_BEFORE - timedelta(seconds=1), 3)])
def test_credentials_are_kept_until_they_are_about_to_expire(duration: timedelta, times: int) -> None:
    async def scenario() -> None:
        role = Role(duration)
        server = CredentialsServer(role.assume)
        await server.start()
        token = server.admit("thing-1")
        await asyncio.gather(*(ask(server, token) for _ in range(3)))
        server.stop()
        assert role.asked == ["thing-1"] * times

    asyncio.run(scenario())
