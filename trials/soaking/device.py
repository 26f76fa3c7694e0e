"""The device of the soak: the agent's process, started again whenever it ends, and looked at from time to time."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import psutil

from sandbox import footprint
from sandbox.nucleus.personality import Personality
from trials.soaking.fast_clock import FastClock
from trials.soaking.nucleus import SoakNucleus

CHECKOUT = Path(__file__).parents[2]
RESTART_S = 10.0
BOOT_S = 120.0
SAMPLE_S = 300.0


class Life(msgspec.Struct):
    """What was seen of one process of the agent: (hours, KiB of its own memory), and how many files it had open.
    Hours are the fast clock's."""

    born_h: float
    memory: list[tuple[float, float]] = []
    files: list[int] = []


class SoakDevice:
    """For the time of a `with` block. `environment` is given to the agent on top of this process's.

    Attributes:
        lives: the agent's processes, one after the other.
    """

    def __init__(
        self, nucleus: SoakNucleus, clock: FastClock, artifacts: Path, work: Path, environment: Mapping[str, str]
    ) -> None:
        self.lives: list[Life] = []
        self._nucleus = nucleus
        self._clock = clock
        self._artifacts = artifacts
        self._work = work
        self._environment = dict(environment)
        self._process: psutil.Popen | None = None
        self._powered = threading.Event()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._keep_running, self._watch)]

    def __enter__(self) -> Self:
        self._work.mkdir()
        self._powered.set()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._powered.set()
        self.kill_agent()
        for thread in self._threads:
            thread.join()

    @property
    def log_path(self) -> Path:
        """What the agent has said."""
        return self._work / "agent.log"

    def memory_kb(self) -> float:
        """The agent's own memory (USS) in KiB."""
        assert self._process is not None  # noqa: S101
        return footprint.private_kb(self._process.pid)

    def kill_agent(self) -> None:
        """SIGKILL the agent; it is started again."""
        process = self._process
        if process is not None:
            process.kill()

    def kill_training(self) -> None:
        """SIGKILL the training process, as Linux does when memory runs out."""
        for child in self._children():
            child.kill()

    def cut_power(self, off_s: float, personality: Personality) -> None:
        """SIGKILL everything, and boot again after so many of the fast clock's seconds."""
        self._powered.clear()
        children = self._children()
        for child in children:
            child.suspend()
        self.kill_agent()
        for child in children:
            child.kill()
        self._nucleus.go_down()
        self._ended.wait(self._clock.real(off_s))
        self._nucleus.come_up(personality)
        self._powered.set()

    def restart_nucleus(self, personality: Personality) -> None:
        """The agent loses its nucleus, which comes back when it has booted."""
        self._nucleus.go_down()
        self._ended.wait(self._clock.real(BOOT_S))
        self._nucleus.come_up(personality)

    def _children(self) -> list[psutil.Process]:
        process = self._process
        with contextlib.suppress(psutil.NoSuchProcess):
            return [] if process is None else list(process.children())
        return []

    def _keep_running(self) -> None:
        path = os.pathsep.join((str(self._artifacts / "client.zip"), str(CHECKOUT)))
        clock = msgspec.json.encode(self._clock).decode()
        with self.log_path.open("ab") as log:
            while not self._ended.is_set():
                process = psutil.Popen(
                    [sys.executable, "-m", "trials.soaking.fast_clock", clock, str(self._artifacts)],
                    cwd=self._work,
                    env=os.environ | self._environment | self._nucleus.environment | {"PYTHONPATH": path},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
                self._process = process
                self.lives.append(Life(self._clock.passed() / 3600))
                process.wait()
                self._ended.wait(self._clock.real(RESTART_S))
                self._powered.wait()

    def _watch(self) -> None:
        while not self._ended.wait(self._clock.real(SAMPLE_S)):
            life, process = (self.lives[-1], self._process) if self.lives else (None, None)
            with contextlib.suppress(psutil.NoSuchProcess):
                if life is not None and process is not None and process.is_running():
                    life.memory.append((self._clock.passed() / 3600, footprint.private_kb(process.pid)))
                    life.files.append(process.num_fds())
