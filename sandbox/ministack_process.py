"""The process that serves the embedded AWS: ministack, on loopback only, and gone when its parent is.

Run as a script (`python ministack_process.py HTTP_PORT`, 0 for a free one), not as a module: the Lambda workers that it
starts inherit its environment, and must find their own code only. It leads a process group of its own, in which
the workers are as well.

Both listeners are bound here before ministack is loaded: a taken port is told at once, and a client that comes early
waits in the backlog instead of being refused. When they are, one line of JSON goes to standard output:
{"http_port": ..., "mqtt_port": ...} or {"error": ...}.

At the end of standard input, or on SIGTERM, the workers are killed and TMPDIR is removed. Nothing is saved.
"""

import asyncio
import contextlib
import gc
import json
import os
import resource
import shutil
import signal
import socket
import sys
import threading
from asyncio.base_events import BaseEventLoop
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

LOOPBACK = "127.0.0.1"
_BACKLOG = 512


def main() -> None:
    """Serve until the parent goes away."""
    _shut_down_with_parent()
    try:
        http = _listen(int(sys.argv[1]))
        mqtt = _listen(0)
    except OSError as error:
        _tell({"error": str(error)})
        sys.exit(1)
    greengrass = json.loads(os.environ.pop("FEDGRASS_GREENGRASS"))  # the functions are not to have it
    rollout_minute_s = float(os.environ.pop("FEDGRASS_ROLLOUT_MINUTE_S"))
    cache = Path(os.environ.pop("FEDGRASS_CACHE"))
    python = os.environ.pop("FEDGRASS_PYTHON")
    ports = {"http_port": http.getsockname()[1], "mqtt_port": mqtt.getsockname()[1]}
    # ministack reads its settings from the environment while it is imported.
    os.environ |= {"GATEWAY_PORT": str(ports["http_port"]), "IOT_MTLS_PORT": str(ports["mqtt_port"])}
    _tell(ports)
    os.dup2(2, 1)  # whatever ministack prints belongs in the log
    _allow_many_connections()
    _force_listeners(mqtt)
    gc.set_threshold(5_000)  # it imports much, which is here to stay
    vars(yaml)["SafeLoader"] = yaml.CSafeLoader  # which takes a seventh of the time for a template

    # Not the folder of this file, whose modules have names of others'.
    sys.path[0] = str(Path(__file__).parent.parent)
    import uvicorn
    from ministack.app import app

    from sandbox.ministack_patches import functions, permissions, services

    permissions.close_ministacks_back_doors()
    services.give_ranges_of_versions()
    services.read_conditions_once()
    functions.let_starting_functions_start()
    functions.unpack_once(cache / "layers")
    functions.run_with(python)
    permissions.authorize_named_shadows_by_name()
    permissions.tell_policies_of_conditional_writes()
    permissions.tell_policies_of_things()
    permissions.count_policies_of_thing_groups()
    permissions.take_loopback_for_tls()
    services.pass_greengrass_on(greengrass)
    services.roll_out_by(rollout_minute_s)
    services.take_saved_queries()
    services.expand_templates_once(cache / "templates")

    class Server(uvicorn.Server):
        """It ends as `_shut_down` does it."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="on",
        timeout_keep_alive=60,  # AWS closes idle connections after about as long
        proxy_headers=False,
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
    )
    asyncio.run(Server(config).serve(sockets=[http]))


def _listen(port: int) -> socket.socket:
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # or asyncio would let its connections wait to send little
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    listener.listen(_BACKLOG)
    return listener


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _force_listeners(mqtt: socket.socket) -> None:
    """Make ministack's MQTT listener, which asks for all interfaces, use the socket bound here; send whatever other
    listener it may open to loopback."""
    create_server = BaseEventLoop.create_server
    mqtt_port = mqtt.getsockname()[1]

    async def create_loopback_server(
        loop: BaseEventLoop, factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> asyncio.Server:
        if port == mqtt_port:
            return await create_server(loop, factory, sock=mqtt, **options)
        if port is not None:
            host = LOOPBACK
        return await create_server(loop, factory, host, port, **options)

    BaseEventLoop.create_server = create_loopback_server  # type: ignore[method-assign, assignment]


def _shut_down_with_parent() -> None:
    signal.signal(signal.SIGTERM, _on_terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait_for_end() -> None:
        while os.read(0, 4096):
            pass
        _shut_down()  # the main thread may sleep through a signal that comes as it lies down

    threading.Thread(target=wait_for_end, name="parent-watch", daemon=True).start()


def _on_terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _shut_down()


def _shut_down() -> None:
    os.killpg(0, signal.SIGTERM)
    # From here on no worker can start: it would need a folder in TMPDIR.
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
