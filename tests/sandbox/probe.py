"""The test's side of the probe component: building it, and talking to it."""

import contextlib
import json
import queue
import socket
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.built_component import BuiltComponent

NAME = "com.example.Probe"
LIMIT_S = 60.0

ACCESS_CONTROL = {
    "aws.greengrass.ipc.mqttproxy": {
        "com.example.Probe:mqttproxy:1": {
            "operations": ["aws.greengrass#SubscribeToIoTCore", "aws.greengrass#PublishToIoTCore"],
            "resources": ["$aws/things/{iot:thingName}/shadow/name/fedgrass-*", "probe/{iot:thingName}/#"],
        }
    }
}

RUN = (
    'exec env PYTHONPATH="{artifacts:path}" "{work:path}/../com.fedgrass.Runtime/venv/bin/python" '
    '"{artifacts:path}/probe_component.py" "{iot:thingName}" "{configuration:/greeting}"'
)


class ProbeError(Exception):
    """What the probe's call raised, over there."""


def build(
    directory: Path,
    lifecycle: Mapping[str, Any] | None = None,
    *,
    version: str = "1.0.0",
    token_exchange: bool = True,
    archive: Mapping[str, str] | None = None,
) -> BuiltComponent:
    """Write the probe as a build would: its recipe and artifacts, with an archive.zip if it is given files for one."""
    artifacts = directory / "artifacts" / NAME / version
    artifacts.mkdir(parents=True)
    (artifacts / "probe_component.py").write_text(Path(__file__).with_name("probe_component.py").read_text())
    uris = [{"Uri": f"s3://bucket/{NAME}/{version}/probe_component.py"}]
    if archive:
        uris.append({"Uri": f"s3://bucket/{NAME}/{version}/archive.zip", "Unarchive": "ZIP"})
        with zipfile.ZipFile(artifacts / "archive.zip", "w") as written:
            for name, content in archive.items():
                written.writestr(name, content)
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": NAME,
        "ComponentVersion": version,
        "ComponentConfiguration": {
            "DefaultConfiguration": {"greeting": "hello", "depth": {"a": 1}, "accessControl": ACCESS_CONTROL}
        },
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Artifacts": uris,
                "Lifecycle": dict(lifecycle or {"run": {"Script": RUN}}),
            }
        ],
    }
    if token_exchange:
        recipe["ComponentDependencies"] = {"aws.greengrass.TokenExchangeService": {"VersionRequirement": ">=2.0.0"}}
    path = directory / "recipes" / f"{NAME}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(recipe))
    return BuiltComponent(path, artifacts)


class Control:
    """Where probes of one device connect to, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(LIMIT_S)

    @property
    def configuration(self) -> dict[str, str]:
        return {"control": str(self.path)}

    def accept(self) -> "Probe":
        """The probe that has just started."""
        connection, _ = self._listener.accept()
        return Probe(connection)

    def forget(self) -> None:
        """Drop the probes that have connected and were not accepted."""
        self._listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()
        self._listener.settimeout(LIMIT_S)

    def close(self) -> None:
        self._listener.close()


class Probe:
    """One run of the probe component."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._results: queue.Queue[dict[str, Any]] = queue.Queue()
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        started = self.event("started")
        self.pid: int = started["pid"]
        self.svcuid: str = started["svcuid"]

    def call(self, name: str, **arguments: Any) -> Any:
        """Have the probe do something; its result.

        Raises:
            ProbeError: it raised; the text is "<class>: <message>".
        """
        self._connection.sendall(json.dumps({"call": name, **arguments}).encode() + b"\n")
        answer = self._results.get(timeout=LIMIT_S)
        if "error" in answer:
            raise ProbeError(f"{answer['error']}: {answer['message']}")
        return answer["result"]

    def tell(self, name: str, **arguments: Any) -> None:
        """Have the probe do something that has no answer."""
        with contextlib.suppress(BrokenPipeError):
            self._connection.sendall(json.dumps({"call": name, **arguments}).encode() + b"\n")

    def event(self, kind: str) -> dict[str, Any]:
        """The next event, which has to be of this kind."""
        event = self.events.get(timeout=LIMIT_S)
        assert event["event"] == kind, event
        return event

    def messages(self) -> Iterator[dict[str, Any]]:
        """MQTT messages as they come."""
        while True:
            yield self.event("message")

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            for line in self._connection.makefile():
                message = json.loads(line)
                (self.events if "event" in message else self._results).put(message)
        self.events.put({"event": "gone"})
        self._results.put({"error": "Gone", "message": "the probe has ended"})
