"""An AWS of one machine: ministack in a process of its own, on loopback, with IAM and SigV4 enforced."""

import json
import logging
import secrets
import shutil
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from operations import aws_sessions, packaging
from sandbox import python_environment
from sandbox.greengrass.server import GreengrassServer
from sandbox.greengrass.service import Greengrass
from sandbox.processes import kill_group

logger = logging.getLogger(__name__)

START_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0
LAMBDA_WARM_S = 3600
ACCOUNT = "000000000000"
_LOG_TAIL_LINES = 20


class EmbeddedAwsError(RuntimeError):
    """The embedded AWS did not start."""


class PortTakenError(EmbeddedAwsError):
    """Another process listens on the port that the embedded AWS was asked to use."""


def check_port(port: int) -> None:
    """Sees at once whether an embedded AWS could listen on a port, which another process may still take meanwhile.

    Raises:
        PortTakenError: it could not.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise _port_taken(port, error) from error


def _port_taken(port: int, reason: object) -> PortTakenError:
    return PortTakenError(
        f"port {port} on 127.0.0.1 can't be used ({reason}): "
        "end what listens there, or ask for port 0, which takes a free one"
    )


class EmbeddedAws:
    """Starts ministack for the time of a `with` block.

    All it writes is in `directory`: `ministack.log` stays, the rest is removed when it stops. Only unpacked layers and
    expanded templates are put into the cache, where others find them as well. It ends, with its Lambda workers, when
    this process ends, however that happens.

    Attributes, once started:
        endpoint: URL of all services.
        mqtt_port: port on 127.0.0.1 of the MQTT broker, for mutual TLS.
        ca_path: PEM file of the authority that signed the broker's certificate, and signs the devices'.
        environment: variables that make another process the administrator of this AWS.
    """

    endpoint: str
    mqtt_port: int
    ca_path: Path
    environment: dict[str, str]

    def __init__(
        self,
        directory: Path,
        *,
        functions_endpoint: str | None = None,
        port: int = 0,
        region: str = "us-east-1",
        rollout_minute_s: float = 60.0,
    ) -> None:
        """
        Args:
            functions_endpoint: URL to which the functions send their AWS calls instead of `endpoint`.
            port: for HTTP; 0 takes a free one.
            rollout_minute_s: how long a minute lasts for the rates at which deployments are rolled out.
        """
        self.region = region
        self._directory = directory
        self._functions_endpoint = functions_endpoint
        self._port = port
        self._rollout_minute_s = rollout_minute_s
        self._process: subprocess.Popen[str] | None = None
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()
        self._greengrass: GreengrassServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of ministack, which leads the process group of all that it starts."""
        if self._process is None:
            raise EmbeddedAwsError("the embedded AWS is not started")
        return self._process.pid

    @property
    def greengrass(self) -> Greengrass:
        """The service greengrassv2, which is in this process, for what core devices tell and ask it."""
        if self._greengrass is None:
            raise EmbeddedAwsError("the embedded AWS is not started")
        return self._greengrass.service

    @property
    def log_path(self) -> Path:
        """What ministack logged."""
        return self._directory / "ministack.log"

    def start(self) -> None:
        """Returns when it answers.

        Raises:
            PortTakenError: the port is in use.
            EmbeddedAwsError: it ended, or was silent for a minute; the text ends with its last log lines.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends it and removes its files, the log aside. Does nothing when it is not running."""
        process, self._process = self._process, None
        greengrass, self._greengrass = self._greengrass, None
        self._clients.clear()
        if process is not None:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                logger.warning("embedded AWS, process %d, did not end in time: killed", process.pid)
            kill_group(process.pid)
            process.wait()
        if greengrass is not None:
            greengrass.stop()
        for scratch in (self._temporary, self._python):
            shutil.rmtree(scratch, ignore_errors=True)

    def session(self) -> boto3.Session:
        """The administrator's session. Its clients need `endpoint_url=aws.endpoint`."""
        return aws_sessions.session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.region,
        )

    def client(self, service: str) -> Any:
        """The administrator's client of a service, by its boto3 name; made once, and shared by all threads."""
        with self._clients_lock:
            if service not in self._clients:
                session: Any = self.session()  # its stubs take literal service names only
                self._clients[service] = session.client(
                    service,
                    endpoint_url=self.endpoint,
                    config=Config(max_pool_connections=64, retries={"mode": "standard", "total_max_attempts": 3}),
                )
            return self._clients[service]

    @property
    def _temporary(self) -> Path:
        return self._directory / "tmp"

    @property
    def _python(self) -> Path:
        return self._directory / "python"

    def _start(self) -> None:
        self._temporary.mkdir(parents=True)
        python = python_environment.create(self._python)
        self._greengrass = greengrass = GreengrassServer(Greengrass(self.client, self.region, ACCOUNT))
        greengrass.start()
        access_key = f"AKIA{secrets.token_hex(8).upper()}"
        secret_key = secrets.token_urlsafe(30)
        with self.log_path.open("w") as log:
            self._process = subprocess.Popen(
                [python, Path(__file__).with_name("ministack_process.py"), str(self._port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self._directory,
                env=self._process_environment(access_key, secret_key, greengrass),
                start_new_session=True,  # so that Ctrl-C reaches this process only, which then ends ministack
            )
        ports = self._read_ports(self._process)
        self.endpoint = f"http://127.0.0.1:{ports['http_port']}"
        self.mqtt_port = ports["mqtt_port"]
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_SESSION_TOKEN": "",  # one of other credentials would be sent along with these
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }
        self.ca_path = self._directory / "ca.pem"
        self.ca_path.write_bytes(self._fetch("/_ministack/iot/ca.pem"))
        logger.info("embedded AWS at %s, MQTT on port %d", self.endpoint, self.mqtt_port)

    def _process_environment(self, access_key: str, secret_key: str, greengrass: GreengrassServer) -> dict[str, str]:
        of_functions = python_environment.create(self._temporary / "python", python_environment.OF_LAMBDA)
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self._temporary),  # the functions must not find a user's AWS profile
            "TMPDIR": str(self._temporary),
            "PYTHONUNBUFFERED": "1",
            "MALLOC_ARENA_MAX": "2",  # many threads, little memory
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": access_key,  # ministack takes these as its root credentials
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "MINISTACK_REGION": self.region,
            "BIND_HOST": "127.0.0.1",
            "SFTP_ENABLED": "0",
            "LAMBDA_EXECUTOR": "local",
            "LAMBDA_WARM_TTL_SECONDS": str(LAMBDA_WARM_S),
            "LOG_LEVEL": "INFO",
            "FEDGRASS_ROLLOUT_MINUTE_S": str(self._rollout_minute_s),
            "FEDGRASS_CACHE": str(packaging.cache_directory()),
            "FEDGRASS_PYTHON": str(of_functions),
            "FEDGRASS_GREENGRASS": json.dumps({"port": greengrass.port, "headers": greengrass.headers}),
        }
        if self._functions_endpoint is not None:
            environment["AWS_ENDPOINT_URL"] = self._functions_endpoint
        return environment

    def _read_ports(self, process: subprocess.Popen[str]) -> dict[str, int]:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise EmbeddedAwsError(f"the embedded AWS ended before it served{self._log_tail()}")
        message = json.loads(line)
        if "error" in message:
            raise _port_taken(self._port, message["error"])
        return dict(message)

    def _fetch(self, path: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.endpoint + path, timeout=START_LIMIT_S) as response:
                return bytes(response.read())
        except OSError as error:
            raise EmbeddedAwsError(
                f"the embedded AWS at {self.endpoint} did not serve {path} ({error}){self._log_tail()}"
            ) from error

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return f"; the end of {self.log_path}:\n" + "\n".join(lines)
