"""Faults for a federation in the sandbox, by a plan that a seed fixes.

They happen when they hurt most: the requests that pass the gateway tell who is doing what.
"""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import msgspec
import psutil
from botocore.exceptions import ClientError

from protocol import names
from reporting.view import View
from sandbox.background_loop import BackgroundLoop
from sandbox.device import Device
from sandbox.faults import Fault, Injection, Planned, Survival, judge, plan
from sandbox.fleet import Fleet
from sandbox.gateway import Request
from sandbox.sandbox import Sandbox
from sandbox.traffic import Traffic

OFF_S = 1.0
"""How long a device has no power."""
CUT_S = 3.0
"""How long a line is cut."""
REFUSED_SHARE = 0.1

_REFUSAL_BODY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
REFUSAL = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
) % (len(_REFUSAL_BODY), _REFUSAL_BODY)
"""S3's answer to who calls too often."""


class Chaos:
    """Injects faults for the time of a `with` block, which begins when `unleash` has told it of the federation.

    `on_request` is for the gateway, `look` for run_rounds. `tell` is called with a line on each fault, in any thread.
    """

    def __init__(self, seed: int, tell: Callable[[str], None]) -> None:
        self._seed = seed
        self._tell = tell
        self._active = False
        self._injections: list[Injection] = []
        self._asked: Counter[tuple[str, str]] = Counter()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def unleash(self, sandbox: Sandbox, federation: str, fleet: Fleet) -> Self:
        """To be called before the `with` block, in which the federation's rounds are.

        Raises:
            ImpossibleChaosError: there are too few rounds or devices for all faults.
        """
        self._sandbox = sandbox
        self._federation = federation
        self._fleet = fleet
        self._prefix = f"/{sandbox.deployment.bucket}/"
        record = sandbox.operations.federations.get(federation)
        rounds, self._life = record.settings.rounds, record.life
        self._planned = plan(self._seed, rounds, fleet.devices)
        self._killings = [each.round for each in self._planned if each.fault is Fault.AVERAGER]
        self._traffic = Traffic(federation, self._life, rounds, fleet.holder)
        return self

    def __enter__(self) -> Self:
        self._background = BackgroundLoop("chaos")
        self._background.run(self._start())
        self._active = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._active = False
        failures = self._background.run(self._stop())
        self._background.close()
        if failures and error is None:
            raise failures[0]

    def survivals(self) -> list[Survival]:
        """What became of each fault. To be asked when all rounds have ended."""
        operations = self._sandbox.operations
        last = operations.federations.get(self._federation).round
        records = [operations.rounds.get(self._federation, number) for number in range(1, last + 1)]
        answers = {record.round: operations.rounds.responses(self._federation, record.round) for record in records}
        return judge(self._injections, records, answers)

    def look(self, view: View) -> None:
        """Take note of what an onlooker sees."""
        ended = frozenset(figures.round for figures in view.ended)
        self._loop.call_soon_threadsafe(self._traffic.note_ends, ended)

    def on_request(self, request: Request) -> bytes | None:
        """Decide on a request, in the gateway's thread."""
        if not self._active or not request.path.startswith(self._prefix):
            return None
        key = request.path.removeprefix(self._prefix)
        model = self._traffic.models.get(key)
        if request.method == "PUT" and model is not None and self._kill_averager(request.port, model):
            return b""
        refused = self._is_refused(request.method, key)
        if refused:
            self._record(Fault.REFUSAL, self._traffic.current_round, told=False)
        with contextlib.suppress(RuntimeError):  # the chaos ends just now
            self._loop.call_soon_threadsafe(self._traffic.note_request, request, key, refused)
        return REFUSAL if refused else None

    async def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = [self._loop.create_task(self._inject(each)) for each in self._planned]

    async def _stop(self) -> list[Exception]:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        return [result for result in results if isinstance(result, Exception)]

    async def _current_round(self) -> int:
        federations = self._sandbox.operations.federations
        return (await asyncio.to_thread(federations.get, self._federation)).round + 1

    def _record(self, fault: Fault, number: int, thing: str | None = None, *, told: bool = True) -> None:
        self._injections.append(Injection(fault, number, thing))
        if told:
            self._tell(f"round {number}: {fault}" + (f" ({thing})" if thing else ""))

    def _is_refused(self, method: str, key: str) -> bool:
        self._asked[method, key] += 1
        chance = random.Random(f"{self._seed} {method} {key} {self._asked[method, key]}")  # noqa: S311 - reproducible
        return chance.random() < REFUSED_SHARE

    def _kill_averager(self, port: int, number: int) -> bool:
        """SIGKILL the function that is about to write a round's model, if that is planned; whether it was."""
        if not self._killings or number < self._killings[0]:
            return False
        for process in psutil.Process(self._sandbox.aws.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(connection.laddr.port == port for connection in process.net_connections("tcp4")):
                    process.kill()
                    self._killings.pop(0)
                    self._record(Fault.AVERAGER, number)
                    return True
        return False

    async def _inject(self, planned: Planned) -> None:
        """See to one planned fault. A device has one at a time."""
        number, thing = planned.round, planned.thing
        if thing is None:
            if planned.fault is Fault.DUPLICATE:
                await self._repeat_events(number)
            return  # what is no device's is up to on_request
        device = self._fleet.devices[thing]
        async with self._turns[thing]:
            match planned.fault:
                case Fault.POWER:
                    await self._cut_power(device, number)
                case Fault.AGENT:
                    await self._traffic.midway(thing, number)
                    await asyncio.to_thread(device.kill_component)
                    self._record(Fault.AGENT, await self._current_round(), thing)
                case Fault.IDLE_LINE:
                    await self._traffic.model_of(number - 1)
                    await self._cut_line(device, Fault.IDLE_LINE, number)
                case Fault.BUSY_LINE:
                    await self._traffic.midway(thing, number)
                    await self._cut_line(device, Fault.BUSY_LINE, await self._current_round())
                case Fault.STRAGGLER:
                    await self._hold_back(device, number)

    async def _cut_power(self, device: Device, number: int) -> None:
        in_time = False
        while not in_time:
            work = await self._traffic.midway(device.thing, number)
            await asyncio.to_thread(device.power_off)
            in_time = not work.uploaded
            if in_time:
                self._record(Fault.POWER, await self._current_round(), device.thing)
            await asyncio.sleep(OFF_S)
            await asyncio.to_thread(device.power_on)

    async def _cut_line(self, device: Device, fault: Fault, affected: int) -> None:
        await asyncio.to_thread(device.cut_connection)
        self._record(fault, affected, device.thing)
        await asyncio.sleep(CUT_S)
        await asyncio.to_thread(device.restore_connection)

    async def _hold_back(self, device: Device, number: int) -> None:
        """Stop a device's processes in mid-training until its round has ended."""
        in_time = False
        while not in_time:
            work = await self._traffic.midway(device.thing, number)
            processes = _processes_of(device)
            _signal(processes, signal.SIGSTOP)
            try:
                affected = await self._current_round()
                in_time = not work.uploaded
                if in_time:
                    self._record(Fault.STRAGGLER, affected, device.thing)
                    await self._traffic.end_of(affected)
            finally:
                _signal(processes, signal.SIGCONT)

    async def _repeat_events(self, number: int) -> None:
        """Send events again when half of the devices have uploaded: theirs, and those of the round before."""
        await self._traffic.updates_of(number, len(self._fleet.devices) // 2)
        for each in (number - 1, number):
            await asyncio.to_thread(self._send_again, each, sorted(self._traffic.uploaded[each]))

    def _send_again(self, number: int, things: Iterable[str]) -> None:
        bucket = self._sandbox.deployment.bucket
        for thing in things:
            key = names.update_key(self._federation, number, thing, self._life)
            try:
                head = self._sandbox.aws.client("s3").head_object(Bucket=bucket, Key=key)
            except ClientError:
                continue  # it is on its way
            told = {"key": key, "size": head["ContentLength"], "eTag": head["ETag"], "versionId": head["VersionId"]}
            event = {
                "eventVersion": "2.6",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "eventTime": head["LastModified"],
                "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": told},
            }
            self._sandbox.aws.client("sqs").send_message(
                QueueUrl=self._sandbox.deployment.updates_queue,
                MessageBody=msgspec.json.encode({"Records": [event]}).decode(),
            )
            self._record(Fault.DUPLICATE, number, thing, told=False)
        self._tell(f"round {number}: {Fault.DUPLICATE}")


def _processes_of(device: Device) -> list[int]:
    if device.pid is None:
        return []
    with contextlib.suppress(psutil.NoSuchProcess):
        return [device.pid, *(child.pid for child in psutil.Process(device.pid).children(recursive=True))]
    return []


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
