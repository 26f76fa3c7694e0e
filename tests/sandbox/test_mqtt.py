"""The connection of a device, on the real broker."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from sandbox import provisioning
from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Access
from sandbox.nucleus.mqtt import MAX_PAYLOAD_BYTES, Broker, MqttConnection
from sandbox.nucleus.personality import CLASSIC, LITE, Personality
from sandbox.nucleus.sending import MAX_IN_FLIGHT, MAX_SPOOLED_BYTES, MqttError

LIMIT_S = 20.0

Scenario = Callable[[MqttConnection], Awaitable[None]]


class Run(Protocol):
    def __call__(self, scenario: Scenario, personality: Personality = CLASSIC, line: "Line | None" = None) -> None: ...


class Line:
    """What lies between a device and the broker: it can go silent, and break."""

    def __init__(self) -> None:
        self.silent = False
        self._writers: list[asyncio.StreamWriter] = []

    async def lay(self, port: int) -> asyncio.Server:
        """A server on a free port that passes on all bytes to `port` and back, unless it is silent."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            self._writers += (writer, far_writer)
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

        return await asyncio.start_server(accept, "127.0.0.1", 0)

    def break_off(self) -> None:
        """Drop the connections that there are; new ones are whole again."""
        self.silent = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not self.silent:
                    writer.write(data)
        writer.close()


@pytest.fixture
def run(aws: EmbeddedAws, access: Access, tmp_path: Path) -> Run:
    """Runs a scenario with the connection of the thing mqtt-1."""
    (identity,) = provisioning.register(aws.client("iot"), ["mqtt-1"], access.thing_group, access.iot_policy, tmp_path)
    broker = Broker(host="127.0.0.1", port=aws.mqtt_port, ca_path=aws.ca_path)

    def run_scenario(scenario: Scenario, personality: Personality = CLASSIC, line: Line | None = None) -> None:
        async def main() -> None:
            if line is None:
                await live(broker)
                return
            async with await line.lay(aws.mqtt_port) as server:
                port = server.sockets[0].getsockname()[1]
                await live(msgspec.structs.replace(broker, port=port))
                line.break_off()

        async def live(broker: Broker) -> None:
            connection = MqttConnection(broker, identity, personality.mqtt)
            connection.start()
            async with asyncio.timeout(LIMIT_S):
                await connection.wait_connected()
                await scenario(connection)
                await connection.stop()

        asyncio.run(main())

    return run_scenario


def test_messages_that_were_under_way_when_the_line_broke_are_sent_again(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        got: asyncio.Queue[bytes] = asyncio.Queue()
        await connection.subscribe("probe/mqtt-1/x", 1)
        connection.add_listener("probe/mqtt-1/x", 1, lambda _topic, payload: got.put_nowait(payload))
        await connection.stop()
        connection.start()
        await connection.wait_connected()
        sent = {str(number).encode() for number in range(3 * MAX_IN_FLIGHT)}
        for payload in sent:
            connection.publish("probe/mqtt-1/x", payload, 1)
        await connection.stop()
        connection.start()
        while sent:
            sent.discard(await got.get())

    run(scenario)


def test_a_subscription_that_the_iot_policy_denies_is_refused(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        with pytest.raises(MqttError, match="refused by the broker: NOT_AUTHORIZED"):
            await connection.subscribe("probe/another/x", 1)

    run(scenario)


def test_a_listener_that_is_removed_hears_no_more(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        got: asyncio.Queue[str] = asyncio.Queue()
        await connection.subscribe("probe/mqtt-1/x", 1)
        remove = connection.add_listener("probe/mqtt-1/x", 1, lambda *_: got.put_nowait("first"))
        connection.add_listener("probe/mqtt-1/x", 1, lambda *_: got.put_nowait("second"))
        connection.publish("probe/mqtt-1/x", b"", 1)
        assert [await got.get(), await got.get()] == ["first", "second"]
        remove()
        connection.publish("probe/mqtt-1/x", b"", 1)
        assert await got.get() == "second"

    run(scenario)


def test_memory_for_messages_that_wait_has_an_end(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        await connection.stop()
        with pytest.raises(MqttError, match="over"):
            connection.publish("probe/mqtt-1/x", bytes(MAX_PAYLOAD_BYTES + 1), 1)
        for _ in range(MAX_SPOOLED_BYTES // MAX_PAYLOAD_BYTES):
            connection.publish("probe/mqtt-1/x", bytes(MAX_PAYLOAD_BYTES), 1)
        with pytest.raises(MqttError, match="no room"):
            connection.publish("probe/mqtt-1/x", bytes(MAX_PAYLOAD_BYTES), 1)

    run(scenario)


def test_lite_takes_no_message_without_a_line_and_ten_at_once_with_one(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        for number in range(MAX_IN_FLIGHT):
            connection.publish("probe/mqtt-1/x", str(number).encode(), 1)
        with pytest.raises(MqttError, match="10 messages are under way"):
            connection.publish("probe/mqtt-1/x", b"one too many", 1)
        await connection.stop()
        with pytest.raises(MqttError, match="no connection"):
            connection.publish("probe/mqtt-1/x", b"", 1)
        with pytest.raises(MqttError, match="no connection"):
            await connection.subscribe("probe/mqtt-1/x", 1)
        connection.start()
        await connection.wait_connected()
        connection.publish("probe/mqtt-1/x", b"", 1)

    run(scenario, LITE)


@pytest.mark.parametrize(("personality", "kept"), [(CLASSIC, True), (LITE, False)])
def test_a_message_under_way_when_the_line_breaks_is_sent_again_by_classic_and_lost_by_lite(
    run: Run, aws: EmbeddedAws, personality: Personality, kept: bool
) -> None:
    line = Line()
    shadow = f"line-{personality.name}"
    topic = f"$aws/things/mqtt-1/shadow/name/{shadow}/update"

    async def scenario(connection: MqttConnection) -> None:
        accepted: asyncio.Queue[bytes] = asyncio.Queue()
        connection.add_listener(f"{topic}/accepted", 1, lambda _topic, payload: accepted.put_nowait(payload))
        changes: asyncio.Queue[bool] = asyncio.Queue()
        connection.watch(changes.put_nowait)
        line.silent = True
        connection.publish(topic, b'{"state": {"reported": {"under way": 1}}}', 1)
        line.break_off()
        assert [await changes.get(), await changes.get()] == [False, True]
        connection.publish(topic, b'{"state": {"reported": {"after": 1}}}', 1)
        while b"after" not in await accepted.get():
            pass

    run(scenario, personality, line)
    answer = aws.client("iot-data").get_thing_shadow(thingName="mqtt-1", shadowName=shadow)
    assert ("under way" in json.loads(answer["payload"].read())["state"]["reported"]) is kept
