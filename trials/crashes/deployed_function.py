"""A deployed function in processes of its own, to be invoked, killed at any of its AWS calls, and invoked again.

It is the deployed zip and layer, with the function's own environment variables and its own role's credentials, so that
IAM has its say. functions_host.py is what runs in the processes.
"""

import base64
import io
import json
import secrets
import subprocess
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any, Literal

import msgspec

from sandbox.sandbox import Sandbox

_KILLED = 137
_HOST = Path(__file__).with_name("functions_host.py")


class FunctionDiedError(Exception):
    """A function's process ended, though nobody had killed it."""


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """Where a function is killed: at the `occurrence`-th call of an AWS operation (None: of any) in an invocation."""

    operation: str | None
    occurrence: int
    moment: Literal["before", "after"]


class Clock:
    """The time that the functions see, which goes on only from one thing that is due to the next: so messages that are
    due at the same time come in the same order in every run."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin with the real time."""
        self._now = time.time()

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._now

    def advance_to(self, moment: float) -> None:
        """Let it be then, if it is not later already."""
        self._now = max(self._now, moment)


class Outcome(msgspec.Struct, frozen=True):
    """How an invocation ended: killed, or with the ids of the messages that failed, after these AWS calls."""

    killed: bool
    failed: frozenset[str] = frozenset()
    calls: tuple[str, ...] = ()


class Function:
    """One deployed function, ready to be invoked. Its own files come to `directory`; what is deployed, to a folder of
    the sandbox, since functions have it in common, and one finds compiled what another has imported. `faults` is as for
    functions_host.py."""

    def __init__(self, sandbox: Sandbox, name: str, directory: Path, python: Path, faults: Path | None) -> None:
        self.name = name
        described = sandbox.aws.client("lambda").get_function(FunctionName=name)
        configuration = described["Configuration"]
        self._timeout_s = configuration["Timeout"]
        arn = configuration["Layers"][0]["Arn"]
        content = sandbox.aws.client("lambda").get_layer_version_by_arn(Arn=arn)["Content"]
        code = _unpacked(sandbox.path, configuration["CodeSha256"], described["Code"]["Location"])
        layer = _unpacked(sandbox.path, content["CodeSha256"], content["Location"])
        directory.mkdir()
        assumed = sandbox.aws.client("sts").assume_role(RoleArn=configuration["Role"], RoleSessionName=name)
        environment = configuration["Environment"]["Variables"] | {
            "AWS_ENDPOINT_URL": sandbox.aws.endpoint,
            "AWS_REGION": sandbox.aws.region,
            "AWS_DEFAULT_REGION": sandbox.aws.region,
            "AWS_ACCESS_KEY_ID": assumed["Credentials"]["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": assumed["Credentials"]["SecretAccessKey"],
            "AWS_SESSION_TOKEN": assumed["Credentials"]["SessionToken"],
            "HOME": str(directory),
            "TMPDIR": str(directory),  # by which the sandbox finds and ends it, should this process be killed
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.log_path = directory / "log"
        with self.log_path.open("w") as log:
            self._host = subprocess.Popen(
                [python, _HOST, code, layer, configuration["Handler"], *([faults] if faults else [])],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.forget()

    def invoke(self, event: dict[str, Any], clock: Clock, kill: Kill | None) -> Outcome:
        """Handle one event, in the environment of the event before if that has not been killed.

        Raises:
            FunctionDiedError: its process ended by itself.
        """
        answer = self._ask(
            {
                "event": event,
                "now": clock.now(),
                "remaining_s": self._timeout_s,
                "request_id": secrets.token_hex(8),
                "kill": kill and msgspec.to_builtins(kill),
            }
        )
        if "died" in answer:
            if answer["died"] != _KILLED:
                raise FunctionDiedError(f"{self.name} ended with status {answer['died']}; its log is {self.log_path}")
            return Outcome(killed=True)
        if answer["error"] is not None:
            failed = frozenset(record["messageId"] for record in event["Records"])
        else:
            failed = frozenset(failure["itemIdentifier"] for failure in answer["result"]["batchItemFailures"])
        return Outcome(False, failed, tuple(answer["calls"]))

    def forget(self) -> None:
        """Let the next event find a new environment."""
        self._ask({"event": None})

    def stop(self) -> None:
        """End its process."""
        for stream in (self._host.stdin, self._host.stdout):
            if stream is not None:
                stream.close()
        self._host.wait()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._host.stdin is None or self._host.stdout is None:
            raise FunctionDiedError(f"{self.name} was not started")
        self._host.stdin.write(json.dumps(request) + "\n")
        self._host.stdin.flush()
        line = self._host.stdout.readline()
        if not line:
            raise FunctionDiedError(f"{self.name} ended; its log is {self.log_path}:\n{self.log_path.read_text()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _unpacked(scratch: Path, sha256: str, location: str) -> Path:
    """The folder of a zip, which is unpacked once."""
    directory = scratch / "deployed" / base64.b64decode(sha256).hex()
    if not directory.exists():
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(location, timeout=60) as response:
            zipfile.ZipFile(io.BytesIO(response.read())).extractall(directory)
    return directory
