"""An operator's ear for a federation: what the cloud and the devices say over MQTT."""

import contextlib
import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from awscrt import mqtt5
from awsiot import mqtt5_client_builder

from operations.shadows import progress_in
from protocol import names
from protocol.messages import InvalidMessageError, Progress, RoundNotice, decode
from sandbox.embedded_aws import EmbeddedAws

THING = "fedgrass-console"
_LIMIT_S = 30.0
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["iot:Connect", "iot:Subscribe", "iot:Receive"], "Resource": "*"}],
}


class ConsoleError(Exception):
    """The console could not connect."""


class ProgressHeard(msgspec.Struct, frozen=True):
    """A client told how far it is."""

    thing: str
    progress: Progress


class Console:
    """Connects with a certificate of its own. What is heard, on `heard`, in order, for the time of a `with` block."""

    def __init__(self, aws: EmbeddedAws, directory: Path, federation: str) -> None:
        self.heard: queue.Queue[ProgressHeard | RoundNotice] = queue.Queue()
        self._round_topic = names.round_topic(federation)
        self._shadow_filter = f"$aws/things/+/shadow/name/{names.shadow_name(federation)}/update/accepted"
        certificate = _register(aws.client("iot"), directory)
        self._connected = threading.Event()
        self._stopped = threading.Event()
        self._client = mqtt5_client_builder.mtls_from_path(
            cert_filepath=str(certificate),
            pri_key_filepath=str(certificate.with_suffix(".key")),
            ca_filepath=str(aws.ca_path),
            endpoint="localhost",
            port=aws.mqtt_port,
            client_id=THING,
            on_publish_received=lambda data: self._receive(data.publish_packet.topic, data.publish_packet.payload),
            on_lifecycle_connection_success=lambda _: self._connected.set(),
            on_lifecycle_stopped=lambda _: self._stopped.set(),
        )

    def __enter__(self) -> Self:
        self._client.start()
        if not self._connected.wait(_LIMIT_S):
            raise ConsoleError(f"no connection to the MQTT broker within {_LIMIT_S:.0f} s")
        subscriptions = [
            mqtt5.Subscription(topic_filter=topic, qos=mqtt5.QoS.AT_LEAST_ONCE)
            for topic in (self._round_topic, self._shadow_filter)
        ]
        self._client.subscribe(mqtt5.SubscribePacket(subscriptions=subscriptions)).result(_LIMIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.stop()
        self._stopped.wait(_LIMIT_S)

    def _receive(self, topic: str, payload: bytes) -> None:
        if topic == self._round_topic:
            with contextlib.suppress(InvalidMessageError):  # a newer version's is not for this ear
                self.heard.put(decode(payload, RoundNotice))
        elif progress := progress_in(payload):  # and no desired half of a shadow
            self.heard.put(ProgressHeard(topic.split("/")[2], progress))


def _register(iot: Any, directory: Path) -> Path:
    """Make the console's certificate; returns its file, beside which its key lies."""
    directory.mkdir(parents=True, exist_ok=True)
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_policy(policyName=THING, policyDocument=msgspec.json.encode(_POLICY).decode())
    iot.attach_policy(policyName=THING, target=made["certificateArn"])
    certificate = directory / "console.pem"
    certificate.write_text(made["certificatePem"])
    certificate.with_suffix(".key").write_text(made["keyPair"]["PrivateKey"])
    return certificate
