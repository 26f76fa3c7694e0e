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
from sandbox.nucleus import sending
from sandbox.nucleus.mqtt import MAX_PAYLOAD_BYTES, Broker, MqttConnection
from sandbox.nucleus.personality import CLASSIC, LITE, Personality, with_line_waits
from sandbox.nucleus.reconnect_delays import LineWaits
from sandbox.nucleus.sending import MAX_IN_FLIGHT, MAX_SPOOLED_BYTES, MqttError

LIMIT_S = 60.0

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
            await connection.publish("probe/mqtt-1/x", payload, 1)
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


def test_a_policy_of_a_thing_group_counts_for_things_in_it_and_in_groups_below_it(
    aws: EmbeddedAws, access: Access, tmp_path: Path
) -> None:
    iot = aws.client("iot")
    connect = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "iot:Subscribe", "Resource": "*/probe/mqtt-2/denied"}
    for name, statement in (("connects", connect), ("denies", deny)):
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        iot.create_policy(policyName=name, policyDocument=document)
    above = iot.create_thing_group(thingGroupName="above")["thingGroupArn"]
    within = iot.create_thing_group(thingGroupName="within", parentGroupName="above")["thingGroupArn"]
    (identity,) = provisioning.register(iot, ["mqtt-2"], "apart", "connects", tmp_path)
    iot.add_thing_to_thing_group(thingGroupName="within", thingName="mqtt-2")

    async def main() -> list[str]:
        broker = Broker(host="127.0.0.1", port=aws.mqtt_port, ca_path=aws.ca_path)
        connection = MqttConnection(broker, identity, CLASSIC.mqtt)
        connection.start()
        given = []
        async with asyncio.timeout(LIMIT_S):
            await connection.wait_connected()
            for topic in ("probe/mqtt-2/x", "probe/another/x", "probe/mqtt-2/denied"):
                with contextlib.suppress(MqttError):
                    await connection.subscribe(topic, 1)
                    given.append(topic)
            await connection.stop()
        return given

    assert asyncio.run(main()) == []
    iot.attach_policy(policyName=access.iot_policy, target=above)
    assert asyncio.run(main()) == ["probe/mqtt-2/x", "probe/mqtt-2/denied"]
    iot.attach_policy(policyName="denies", target=within)
    assert asyncio.run(main()) == ["probe/mqtt-2/x"]
    iot.detach_policy(policyName=access.iot_policy, target=above)
    assert asyncio.run(main()) == []


def test_a_listener_that_is_removed_hears_no_more(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        got: asyncio.Queue[str] = asyncio.Queue()
        await connection.subscribe("probe/mqtt-1/x", 1)
        remove = connection.add_listener("probe/mqtt-1/x", 1, lambda *_: got.put_nowait("first"))
        connection.add_listener("probe/mqtt-1/x", 1, lambda *_: got.put_nowait("second"))
        await connection.publish("probe/mqtt-1/x", b"", 1)
        assert [await got.get(), await got.get()] == ["first", "second"]
        remove()
        await connection.publish("probe/mqtt-1/x", b"", 1)
        assert await got.get() == "second"

    run(scenario)


def test_memory_for_messages_that_wait_has_an_end(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        await connection.stop()
        with pytest.raises(MqttError, match="over"):
            await connection.publish("probe/mqtt-1/x", bytes(MAX_PAYLOAD_BYTES + 1), 1)
        for _ in range(MAX_SPOOLED_BYTES // MAX_PAYLOAD_BYTES):
            await connection.publish("probe/mqtt-1/x", bytes(MAX_PAYLOAD_BYTES), 1)
        with pytest.raises(MqttError, match="no room"):
            await connection.publish("probe/mqtt-1/x", bytes(MAX_PAYLOAD_BYTES), 1)

    run(scenario)


def test_lite_has_ten_messages_under_way_and_more_wait_until_one_is_confirmed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(connection: MqttConnection) -> None:
        got = await listen(connection)
        await asyncio.gather(*(connection.publish("probe/mqtt-1/x", b"", 1) for _ in range(60)))
        connection.kill_line()
        for number in range(MAX_IN_FLIGHT):
            await connection.publish("probe/mqtt-1/x", str(number).encode(), 1)
        monkeypatch.setattr(sending, "IN_FLIGHT_LIMIT_S", 0.1)
        with pytest.raises(MqttError, match="10 messages are under way"):
            await connection.publish("probe/mqtt-1/x", b"one too many", 1)
        await connection.restore()
        await connection.publish("probe/mqtt-1/x", b"after", 1)
        while b"after" not in await got.get():
            pass

    run(scenario, never_notices(LITE))


async def listen(connection: MqttConnection) -> asyncio.Queue[bytes]:
    """What arrives on probe/mqtt-1/x, once something has: on lite no answer tells that the broker has heard of it."""
    got: asyncio.Queue[bytes] = asyncio.Queue()
    await connection.subscribe("probe/mqtt-1/x", 1)
    connection.add_listener("probe/mqtt-1/x", 1, lambda _topic, payload: got.put_nowait(payload))
    while True:
        await connection.publish("probe/mqtt-1/x", b"is it heard?", 1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await got.get()
                return got


def never_notices(personality: Personality) -> Personality:
    return with_line_waits(personality, LineWaits(notice_s=1e6, first_retry_s=0.2, max_retry_s=5.0))


@pytest.mark.parametrize("personality", [CLASSIC, LITE])
def test_what_is_published_on_a_line_that_is_dead_is_taken_and_lost_unless_the_nucleus_keeps_it(
    run: Run, personality: Personality
) -> None:
    async def scenario(connection: MqttConnection) -> None:
        got = await listen(connection)
        connection.kill_line()
        await connection.publish("probe/mqtt-1/x", b"dead", 1)
        assert connection.connected
        await connection.restore()
        await connection.publish("probe/mqtt-1/x", b"after", 1)
        arrived = {await got.get()}
        while b"after" not in arrived:
            arrived.add(await got.get())
        assert (b"dead" in arrived) is (personality is CLASSIC)

    run(scenario, never_notices(personality))


def test_a_dead_line_is_noticed_after_a_while_and_tried_again_when_it_is_back(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        changes: asyncio.Queue[bool] = asyncio.Queue()
        connection.watch(changes.put_nowait)
        connection.kill_line()
        assert await changes.get() is False
        with pytest.raises(MqttError, match="no connection"):
            await connection.publish("probe/mqtt-1/x", b"", 1)
        await connection.restore()
        assert await changes.get() is True

    run(scenario, with_line_waits(LITE, LineWaits(notice_s=0.1, first_retry_s=0.1, max_retry_s=5.0)))


@pytest.mark.parametrize(
    ("down_s", "wait_s"), [(0.0, 5.0), (5.0, 0.0), (6.0, 9.0), (20.0, 15.0), (1000.0, 215.0), (1300.0, 215.0)]
)
def test_lite_tries_to_connect_after_waits_that_double_to_five_minutes(down_s: float, wait_s: float) -> None:
    assert LITE.mqtt.waits.until_next_try(down_s) == pytest.approx(wait_s)


def test_lite_takes_what_is_published_to_a_wildcard_and_is_disconnected_for_it(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        changes: asyncio.Queue[bool] = asyncio.Queue()
        connection.watch(changes.put_nowait)
        await connection.publish("probe/mqtt-1/+", b"", 1)
        assert [await changes.get(), await changes.get()] == [False, True]

    run(scenario, with_line_waits(LITE, LineWaits(notice_s=0.0, first_retry_s=0.1, max_retry_s=5.0)))


def test_lite_takes_no_message_without_a_line(run: Run) -> None:
    async def scenario(connection: MqttConnection) -> None:
        await connection.stop()
        with pytest.raises(MqttError, match="no connection"):
            await connection.publish("probe/mqtt-1/x", b"", 1)
        with pytest.raises(MqttError, match="no connection"):
            await connection.subscribe("probe/mqtt-1/x", 1)
        connection.start()
        await connection.wait_connected()
        await connection.publish("probe/mqtt-1/x", b"", 1)

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
        await connection.publish(topic, b'{"state": {"reported": {"under way": 1}}}', 1)
        line.break_off()
        assert [await changes.get(), await changes.get()] == [False, True]
        await connection.publish(topic, b'{"state": {"reported": {"after": 1}}}', 1)
        while b"after" not in await accepted.get():
            pass

    run(scenario, personality, line)
    answer = aws.client("iot-data").get_thing_shadow(thingName="mqtt-1", shadowName=shadow)
    assert ("under way" in json.loads(answer["payload"].read())["state"]["reported"]) is kept
