"""A component that does what a test tells it: it runs as a real process of a stand-in nucleus, with AWS's own client.

It connects to the socket that its configuration names. Each line it gets is {"call": name, ...}; it answers with
{"result": ...} or {"error": class, "message": ...}, and sends {"event": ...} for what streams bring.
"""

import gc
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2


class Probe:
    def __init__(self) -> None:
        self.ipc = GreengrassCoreIPCClientV2()
        configuration = self.ipc.get_configuration().value
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(configuration["control"])
        self.lock = threading.Lock()

    def run(self) -> None:
        self.send({"event": "started", "pid": os.getpid(), "svcuid": os.environ["SVCUID"]})
        for line in self.control.makefile():
            request = json.loads(line)
            name = request.pop("call")
            try:
                self.send({"result": getattr(self, name)(**request)})
            except Exception as error:
                self.send({"error": type(error).__name__, "message": getattr(error, "message", str(error))})

    def send(self, message: dict[str, Any]) -> None:
        with self.lock:
            self.control.sendall(json.dumps(message).encode() + b"\n")

    def subscribe(self, topic: str) -> None:
        self.ipc.subscribe_to_iot_core(
            topic_name=topic,
            qos=model.QOS.AT_LEAST_ONCE,
            on_stream_event=lambda event: self.send(
                {"event": "message", "topic": event.message.topic_name, "payload": event.message.payload.decode()}
            ),
            on_stream_error=bool,
            on_stream_closed=lambda: None,
        )

    def publish(self, topic: str, payload: str, qos: str = "1") -> None:
        self.ipc.publish_to_iot_core(topic_name=topic, qos=qos, payload=payload.encode())

    def get_configuration(self, path: list[str]) -> Any:
        return self.ipc.get_configuration(key_path=path).value

    def update_configuration(self, path: list[str], value: dict[str, Any]) -> None:
        import datetime

        self.ipc.update_configuration(
            key_path=path, value_to_merge=value, timestamp=datetime.datetime.now(datetime.UTC)
        )

    def watch_configuration(self) -> None:
        self.ipc.subscribe_to_configuration_update(
            key_path=[],
            on_stream_event=lambda event: self.send(
                {"event": "configuration", "path": event.configuration_update_event.key_path}
            ),
            on_stream_error=bool,
            on_stream_closed=lambda: None,
        )

    def watch_connection(self) -> None:
        self.ipc.subscribe_to_iot_core_connection_status(
            on_stream_event=lambda event: self.send(
                {"event": "connection", "status": event.connection_status_event.status}
            ),
            on_stream_error=bool,
            on_stream_closed=lambda: None,
        )

    def watch_updates(self) -> None:
        self.ipc.subscribe_to_component_updates(
            on_stream_event=lambda event: self.send(
                {"event": "update", "deployment": event.pre_update_event.deployment_id}
            ),
            on_stream_error=bool,
            on_stream_closed=lambda: None,
        )

    def defer(self, deployment: str, recheck_after_ms: int) -> None:
        self.ipc.defer_component_update(deployment_id=deployment, recheck_after_ms=recheck_after_ms)

    def connect_as(self, svcuid: str) -> None:
        GreengrassCoreIPCClientV2(client=connect(authtoken=svcuid)).close()

    def report_error(self) -> None:
        self.ipc.update_state(state=model.ReportedLifecycleState.ERRORED)

    def get_thing_shadow(self) -> None:
        self.ipc.get_thing_shadow(thing_name=os.environ["AWS_IOT_THING_NAME"], shadow_name="x")

    def get_secret(self) -> None:
        self.ipc.get_secret_value(secret_id="x")  # noqa: S106

    def put_metric(self) -> None:
        self.ipc.put_component_metric(metrics=[model.Metric(name="x", unit="Count", value=1.0)])

    def pause(self) -> None:
        self.ipc.pause_component(component_name="com.example.Probe")

    def kept_calls(self) -> int:
        """How many of twenty answered calls the client still holds in memory."""
        for _ in range(20):
            self.ipc.get_configuration()
        gc.collect()
        return sum(type(kept).__name__ == "GetConfigurationOperation" for kept in gc.get_objects())

    def environment(self) -> dict[str, Any]:
        return {"variables": dict(os.environ), "directory": str(Path.cwd()), "arguments": sys.argv[1:]}

    def put_object(self, bucket: str, key: str) -> None:
        self.s3().put_object(Bucket=bucket, Key=key, Body=b"x")

    def get_object(self, bucket: str, key: str) -> str:
        return str(self.s3().get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    def s3(self) -> Any:
        """boto3 is imported for those tests alone that need it: that takes longer than all else of a start."""
        import boto3

        return boto3.client("s3")

    def import_module(self, module: str) -> str:
        return str(__import__(module).__file__)

    def fork(self) -> int:
        """A child that outlives this process if nobody sees to it."""
        pid = os.fork()
        if pid == 0:
            signal.pause()
        return pid

    def tell_of_sigterm(self) -> None:
        def tell(*_: Any) -> None:
            self.send({"event": "sigterm"})
            sys.exit(0)

        signal.signal(signal.SIGTERM, tell)

    def ignore_sigterm(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def exit(self, status: int) -> None:
        os._exit(status)


Probe().run()
