"""Clients without devices: what the devices of a federation would send, is sent to the embedded AWS."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cloud.settings import Averaging, Federation, LocalTraining
from cloud.state.federations import UnknownFederationError
from cloud.state.records import FederationRecord, RoundRecord
from cloud.state.rounds import Responses, UnknownRoundError
from operations.control import Operations
from operations.deployment import Deployment
from protocol import names
from protocol.messages import Desired, Hello, ModelHeader, Phase, Progress, encode
from protocol.tensors import dump, parse_header, schema_id
from sandbox.embedded_aws import EmbeddedAws
from sandbox.example_updates import report
from sandbox.polling import LIMIT_S, eventually
from sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from protocol.tensors import Array

HELLO = Hello(
    component_version="1.0.0",
    architecture="aarch64",
    memory_bytes=1 << 30,
    cpu_count=4,
    examples=100,
    nucleus="lite 2.6.0",
)
_LIMIT_S = 300.0


class SimulatedDevices:
    """The devices of one federation as the functions see them: hellos, shadows, updates."""

    def __init__(self, aws: EmbeddedAws, deployed: Deployment, federation: str) -> None:
        self.name = federation
        self.aws = aws
        self.deployed = deployed
        self.operations = Operations(aws.client, deployed)
        self._life = ""

    def make(self, settings: Federation, model: bytes) -> FederationRecord:
        """Make the federation, with this file as its model 0."""
        schema = schema_id(parse_header(model, len(model)).schema)
        record = self.operations.federations.create(settings, self.operations.put_initial(settings, model), schema)
        self._life = record.life
        return record

    def start(self) -> None:
        """Let the rounds begin."""
        self.operations.start(self.name)

    @property
    def life(self) -> str:
        """Which life of the federation this is, the last that was made; none has the empty one."""
        if not self._life:  # someone else may have made it
            with contextlib.suppress(UnknownFederationError):
                self._life = self.operations.federations.get(self.name).life
        return self._life

    def register(self, thing: str) -> None:
        """Make the thing in the registry."""
        self.aws.client("iot").create_thing(thingName=thing)

    def greet(self, thing: str) -> None:
        """Have it known as a client, as if its hello had been handled."""
        self.operations.clients.greet(self.name, thing, HELLO, time.time())

    def say_hello(self, thing: str, /, **changes: Any) -> None:
        """Publish a hello, with fields changed or added."""
        payload = json.loads(encode(HELLO)) | changes
        topic = names.hello_topic(self.name, thing)
        self.aws.client("iot-data").publish(topic=topic, qos=1, payload=json.dumps(payload).encode())

    def desired(self, thing: str) -> Desired:
        """The cloud's half of a device's shadow."""
        iot = self.aws.client("iot-data")
        try:
            answer = iot.get_thing_shadow(thingName=thing, shadowName=names.shadow_name(self.name))
        except iot.exceptions.ResourceNotFoundException:
            return Desired()
        return msgspec.convert(json.loads(answer["payload"].read())["state"].get("desired", {}), Desired)

    def report_progress(self, thing: str, round_number: int, phase: Phase, reason: str | None = None) -> None:
        """Report in the shadow how far a device is with its assignment."""
        progress = Progress(round=round_number, life=self.life, phase=phase, reason=reason, at=time.time())
        payload = json.dumps({"state": {"reported": {"progress": msgspec.to_builtins(progress)}}}).encode()
        self.aws.client("iot-data").update_thing_shadow(
            thingName=thing, shadowName=names.shadow_name(self.name), payload=payload
        )

    def put_object(self, key: str, data: bytes) -> str:
        """Upload whatever to wherever; returns the version it became."""
        answer = self.aws.client("s3").put_object(Bucket=self.deployed.bucket, Key=key, Body=data)
        return str(answer["VersionId"])

    # ---- What comes of it

    def round(self, round_number: int) -> RoundRecord:
        """A round as it is now."""
        return self.operations.rounds.get(self.name, round_number)

    def round_with(
        self, round_number: int, what: str, condition: Callable[[RoundRecord], bool], limit_s: float = LIMIT_S
    ) -> RoundRecord:
        """A round of this life, once it is there and the condition holds."""
        life = self.life

        def look() -> RoundRecord | None:
            try:
                record = self.operations.rounds.of(self.name, life, round_number)
            except UnknownRoundError:
                return None
            return record if condition(record) else None

        return eventually(look, f"round {round_number} of {self.name} to be {what}", limit_s)

    def opened(self, round_number: int) -> RoundRecord:
        """A round, once all of its cohort are told."""
        return self.round_with(round_number, "open", lambda record: record.notified_at is not None)

    def ended(self, round_number: int) -> RoundRecord:
        """A round, once it is closed or aborted."""
        return self.round_with(round_number, "over", lambda record: record.status in ("closed", "aborted"))

    def responses_to(self, round_number: int) -> Responses:
        """All that came back in a round; in round 0, what came to none."""
        return self.operations.rounds.responses(self.name, round_number)

    def settled(self, limit_s: float = LIMIT_S) -> None:
        """Returns when no messages are in a queue or being worked on; those that are delayed aside."""
        sqs = self.aws.client("sqs")
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        hellos = sqs.get_queue_url(QueueName=f"{self.deployed.stack}-hello")["QueueUrl"]
        queues = (self.deployed.updates_queue, self.deployed.control_queue, self.deployed.rounds_queue, hellos)

        def is_empty(queue: str) -> bool:
            of_queue = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=counts)["Attributes"]
            return not any(int(of_queue[count]) for count in counts)

        eventually(lambda: all(map(is_empty, queues)), "the queues to be empty", limit_s)


class SimulatedClients(SimulatedDevices):
    """A federation of so many clients, which have these names if `things` says them: they answer every round at once.
    The model has tensors of float32, and of int64; every update adds the same to each number."""

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
        super().__init__(sandbox.aws, sandbox.deployment, federation)
        self.things = things or [f"client-{number:04d}" for number in range(clients)]
        self._pool = ThreadPoolExecutor(16)
        self._buffers = tuple(buffers)
        self._dtypes = {name: "I64" if array.dtype == np.int64 else "F32" for name, array in model.items()}
        self._delta: dict[str, Array] = {
            name: np.full(array.shape, 1 if array.dtype == np.int64 else 1e-3, array.dtype)
            for name, array in model.items()
        }
        settings = Federation(
            name=federation,
            rounds=rounds,
            training=LocalTraining(steps=1, batch_size=1, learning_rate=0.1),
            deadline_s=_LIMIT_S,
            averaging=msgspec.convert(averaging or {}, Averaging),
        )
        about = ModelHeader(federation=federation, round=0, buffers=self._buffers)
        self.make(settings, dump(model, self._dtypes, encode(about), self._buffers))

    def join(self) -> None:
        """Register the things, have them say hello, and return when all are known."""
        list(self._pool.map(self.register, self.things))
        list(self._pool.map(self.say_hello, self.things))
        eventually(lambda: len(self.operations.clients.of(self.name)) == len(self.things), "all to be known", _LIMIT_S)

    def answer(self, round_number: int) -> RoundRecord:
        """Upload everyone's update when the round is open; returns the round when it has closed."""
        record = self.opened(round_number)
        list(self._pool.map(lambda thing: self._upload(record, thing), self.things))
        return self.round_with(round_number, "closed", lambda ended: ended.status == "closed", _LIMIT_S)

    def _upload(self, record: RoundRecord, thing: str) -> None:
        about = report(
            thing, federation=self.name, life=record.life, round=record.round, base=record.base.downloaded.sha256
        )
        update = dump(self._delta, self._dtypes, encode(about), self._buffers)
        self.put_object(names.update_key(self.name, record.round, thing, record.life), update)
