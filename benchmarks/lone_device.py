"""One device of a sandbox, and a federation of which it is the only client: rounds open one at a time, when asked."""

import contextlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import msgspec
import psutil

from cli import digits
from cli.checking.checks import check_loaded
from cli.datasets import idx
from cli.project import Project
from cli.project_sandbox import build_component, init_federation
from cloud.state.records import RoundRecord
from cloud.state.rounds import UnknownRoundError
from protocol.messages import Timings
from sandbox.device import Device
from sandbox.federated_run import wait_for_clients
from sandbox.footprint import bytes_to
from sandbox.nucleus.personality import Personality
from sandbox.sandbox import Sandbox

THING = "device-000"
_LIMIT_S = 600.0
_TICK_S = 0.1


class RoundLostError(Exception):
    """A round did not come to what was waited for; the text says what the device last reported."""


class LocalRound(msgspec.Struct, frozen=True, kw_only=True):
    """A round of the one client, in seconds: `train_s` is the training, without what was lost of it, and `start_s` what
    else passed from the assignment to the end of training: the time until its first step, if nothing cut it off."""

    start_s: float
    train_s: float


class LoneDevice:
    """For the time of a `with` block: the sandbox, the built component on one device with the packaged digits (4,000 of
    them), and the federation, not started. `nucleus` is what the device runs; `configuration` is merged into the
    component's.

    Attributes, once entered:
        device: the device.
    """

    device: Device

    def __init__(self, project: Project, nucleus: Personality, **configuration: Any) -> None:
        self._project = project
        self._nucleus = nucleus
        self._configuration = configuration

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._sandbox = stack.enter_context(Sandbox())
            self._operations = self._sandbox.operations
            data = self._sandbox.path / "digits"
            idx.write(data, "train", digits.packaged().train)
            component = build_component(self._project, self._sandbox.path / "greengrass-build")
            init_federation(self._project, self._sandbox, check_loaded(self._project).model)
            fleet = stack.enter_context(
                self._sandbox.fleet(
                    component, self._project.settings, {THING: data}, [self._nucleus], **self._configuration
                )
            )
            wait_for_clients(self._operations, self._name, fleet)
            self.device = fleet.devices[THING]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def _name(self) -> str:
        return self._project.settings.name

    @property
    def agent(self) -> int:
        """Process id of the agent.

        Raises:
            RoundLostError: it does not run.
        """
        pid = self.device.pid
        if pid is None:
            raise RoundLostError(f"the component does not run: it is {self.device.state}")
        return pid

    def traffic(self) -> int:
        """How many bytes have passed over the device's MQTT connection, headers of TLS, TCP and IP included."""
        return bytes_to(self._sandbox.aws.mqtt_port)

    def open_round(self) -> RoundRecord:
        """Open the next round, and none after it; returns when the client has its assignment."""
        number = self._operations.start(self._name).round + 1
        record = self._wait_for_round(number, lambda record: record.notified_at is not None)
        self._operations.pause(self._name)
        return record

    def end_of(self, opened: RoundRecord) -> LocalRound:
        """Return when a round has closed.

        Raises:
            RoundLostError: it was aborted, or does not end.
        """
        record = self._wait_for_round(opened.round, lambda record: record.status in ("closed", "aborted"))
        accepted = self._operations.rounds.responses(self._name, record.round).accepted
        if not accepted or accepted[0].report is None or record.notified_at is None:
            raise RoundLostError(f"round {record.round} is {record.status}: {record.reason}")
        return _local(record.notified_at, accepted[0].report.timings)

    def wait_for_training_process_to_end(self) -> None:
        """Return when the agent has ended its training process, because it was idle for long enough."""
        agent = psutil.Process(self.agent)
        deadline = time.monotonic() + _LIMIT_S
        while agent.children():
            if time.monotonic() > deadline:
                raise RoundLostError(f"the training process has not ended in {_LIMIT_S:.0f} s")
            time.sleep(_TICK_S)

    def kill(self) -> float:
        """SIGKILL the agent and its training process at once; returns when the nucleus has started the agent again, and
        that a training process, with how many seconds this took.

        Raises:
            RoundLostError: there is none in time.
        """
        killed, killed_at = self.agent, time.monotonic()
        children = psutil.Process(killed).children()
        for child in children:
            child.suspend()  # or it would notice that the agent has gone, and end in its own way
        self.device.kill_component()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        while not self._trains_again(killed):
            if time.monotonic() > killed_at + _LIMIT_S:
                raise RoundLostError(f"no training process in {_LIMIT_S:.0f} s after a kill")
            time.sleep(_TICK_S)
        return time.monotonic() - killed_at

    def _trains_again(self, killed: int) -> bool:
        pid = self.device.pid
        if pid in (None, killed):
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            return any(
                "components.client.trainer.process" in child.cmdline() for child in psutil.Process(pid).children()
            )
        return False

    def _wait_for_round(self, number: int, reached: Callable[[RoundRecord], bool]) -> RoundRecord:
        deadline = time.monotonic() + _LIMIT_S
        while True:
            with contextlib.suppress(UnknownRoundError):
                record = self._operations.rounds.get(self._name, number)
                if reached(record):
                    return record
            if time.monotonic() > deadline:
                tail = self.device.log_path.read_text(errors="replace")[-2000:]
                raise RoundLostError(f"round {number} is stuck; the end of the component's log:\n{tail}")
            time.sleep(_TICK_S)


def _local(assigned_at: float, timings: Timings) -> LocalRound:
    return LocalRound(
        start_s=timings.trained_at - timings.train_s - assigned_at,
        train_s=timings.train_s,
    )
