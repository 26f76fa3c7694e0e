"""Clients without devices, for figures about the functions alone: they say hello, and answer every round at once."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from cli.settings.parsing import parse
from cloud.state.records import RoundRecord
from cloud.state.rounds import UnknownRoundError
from protocol import messages, names, tensors
from sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from protocol.tensors import Array

_LIMIT_S = 300.0
_TICK_S = 0.02


class SimulationError(Exception):
    """What should have happened did not, in time."""


class SimulatedClients:
    """A federation of so many clients, which have these names if `things` says them. The model has tensors of float32,
    and of int64; every update adds the same to each number."""

    def __init__(
        self,
        sandbox: Sandbox,
        federation: str,
        clients: int,
        model: "Mapping[str, Array]",
        rounds: int,
        buffers: Sequence[str] = (),
        averaging: Mapping[str, object] | None = None,
        things: Sequence[str] | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._federation = federation
        self.things = things or [f"client-{number:04d}" for number in range(clients)]
        self._pool = ThreadPoolExecutor(16)
        self._buffers = tuple(buffers)
        self._dtypes = {name: "I64" if array.dtype == np.int64 else "F32" for name, array in model.items()}
        self._delta: dict[str, Array] = {
            name: np.full(array.shape, 1 if array.dtype == np.int64 else 1e-3, array.dtype)
            for name, array in model.items()
        }
        settings = parse(
            {
                "name": federation,
                "rounds": rounds,
                "training": {"steps": 1, "batch_size": 1, "learning_rate": 0.1},
                "deadline_s": _LIMIT_S,
                "averaging": averaging or {},
            }
        )
        about = messages.ModelHeader(federation=federation, round=0, buffers=self._buffers)
        file = tensors.dump(model, self._dtypes, messages.encode(about), self._buffers)
        schema = tensors.schema_id(tensors.parse_header(file, len(file)).schema)
        operations = sandbox.operations
        operations.federations.create(settings, operations.put_initial(settings, file), schema)

    def join(self) -> None:
        """Register the things, have them say hello, and return when all are known."""
        iot, data = self._sandbox.aws.client("iot"), self._sandbox.aws.client("iot-data")
        hello = messages.encode(
            messages.Hello(component_version="0.1.0", architecture="simulated", memory_bytes=0, cpu_count=1)
        )
        list(self._pool.map(lambda thing: iot.create_thing(thingName=thing), self.things))
        topics = [names.hello_topic(self._federation, thing) for thing in self.things]
        list(self._pool.map(lambda topic: data.publish(topic=topic, qos=1, payload=hello), topics))
        self._wait(lambda: len(self._sandbox.operations.clients.of(self._federation)) == len(self.things))

    def start(self) -> None:
        """Let the rounds begin."""
        self._sandbox.operations.start(self._federation)

    def opened(self, round_number: int) -> RoundRecord:
        """The round, once all are told of it."""
        self._wait(lambda: (record := self._round(round_number)) is not None and record.notified_at is not None)
        return self._sandbox.operations.rounds.get(self._federation, round_number)

    def answer(self, round_number: int) -> RoundRecord:
        """Upload everyone's update when the round is open; returns the round when it has closed."""
        record = self.opened(round_number)
        list(self._pool.map(lambda thing: self._upload(record, thing), self.things))
        self._wait(lambda: (ended := self._round(round_number)) is not None and ended.status == "closed")
        return self._sandbox.operations.rounds.get(self._federation, round_number)

    def _upload(self, record: RoundRecord, thing: str) -> None:
        now = time.time()
        report = messages.Report(
            federation=self._federation,
            life=record.life,
            round=record.round,
            thing=thing,
            base=record.base.downloaded.sha256,
            encoding="float32",
            examples=10,
            steps=1,
            timings=messages.Timings(accepted_at=now, downloaded_at=now, trained_at=now, uploading_at=now, train_s=0.0),
        )
        update = tensors.dump(self._delta, self._dtypes, messages.encode(report), self._buffers)
        key = names.update_key(self._federation, record.round, thing, record.life)
        self._sandbox.aws.client("s3").put_object(Bucket=self._sandbox.deployment.bucket, Key=key, Body=update)

    def _round(self, number: int) -> RoundRecord | None:
        try:
            return self._sandbox.operations.rounds.get(self._federation, number)
        except UnknownRoundError:
            return None

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _LIMIT_S
        while not condition():
            if time.monotonic() > deadline:
                raise SimulationError(f"{self._federation}: nothing happened for {_LIMIT_S:.0f} s")
            time.sleep(_TICK_S)
