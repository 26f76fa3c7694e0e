"""The token exchange endpoint, asked as an SDK asks it."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from sandbox.nucleus.credentials import RENEW_BEFORE, Credentials, CredentialsServer
from sandbox.nucleus.personality import CLASSIC, LITE, Personality


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


TOKEN = "0123456789abcdef"  # noqa: S105


COMPONENTS = {TOKEN: "com.example.Probe"}


def server_of(role: Role, personality: Personality = CLASSIC) -> CredentialsServer:
    return CredentialsServer("thing-1", COMPONENTS.get, role.assume, personality.credentials)


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
        server = server_of(Role(timedelta(hours=1)))
        await server.start()
        status, body = await ask(server, TOKEN)
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
        server = server_of(role)
        await server.start()
        assert (await ask(server, token))[0] == 403
        server.stop()
        assert not role.asked

    asyncio.run(scenario())


def test_another_path_is_not_there() -> None:
    async def scenario() -> None:
        server = server_of(Role(timedelta(hours=1)))
        await server.start()
        assert (await ask(server, TOKEN, path="/latest/meta-data"))[0] == 404
        server.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(("duration", "times"), [(timedelta(hours=1), 1), (RENEW_BEFORE - timedelta(seconds=1), 3)])
def test_credentials_are_kept_until_they_are_about_to_expire(duration: timedelta, times: int) -> None:
    async def scenario() -> None:
        role = Role(duration)
        server = server_of(role)
        await server.start()
        await asyncio.gather(*(ask(server, TOKEN) for _ in range(3)))
        server.stop()
        assert role.asked == ["thing-1"] * times

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("personality", "none", "wrong_token", "wrong_path"),
    [
        (CLASSIC, (500, b'{"message": "token exchange failed"}'), 403, 404),
        (LITE, (200, b"null"), 400, 400),
    ],
)
def test_each_nucleus_has_its_own_answers(
    personality: Personality, none: tuple[int, bytes], wrong_token: int, wrong_path: int
) -> None:
    async def scenario() -> None:
        role = Role(timedelta(hours=1))
        server = server_of(role, personality)
        await server.start()
        server.refused = True
        assert await ask(server, TOKEN) == none
        assert (await ask(server, "wrong"))[0] == wrong_token
        assert (await ask(server, TOKEN, path="/latest/meta-data"))[0] == wrong_path
        server.refused = False
        assert (await ask(server, TOKEN))[0] == 200
        server.stop()

    asyncio.run(scenario())


def test_it_has_another_port_after_a_restart() -> None:
    async def scenario() -> None:
        server = server_of(Role(timedelta(hours=1)), LITE)
        await server.start()
        first = server.url
        await server.restart()
        assert server.url != first
        assert (await ask(server, TOKEN))[0] == 200
        server.stop()

    asyncio.run(scenario())
