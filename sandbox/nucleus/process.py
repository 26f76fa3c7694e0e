"""One script of a component, running in a process group of its own."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sandbox.processes import kill_group


class ScriptProcess:
    """A shell script that has been started; its output goes to the end of a file.

    The event loop is told of its end by the kernel (Linux's pidfd), so that no thread waits for it.
    """

    def __init__(self, script: str, directory: Path, environment: Mapping[str, str], log_path: Path) -> None:
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", script],
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        descriptor = os.pidfd_open(self._process.pid)
        loop.add_reader(descriptor, self._on_end, loop, descriptor)

    @property
    def pid(self) -> int:
        """Id of the process, and of its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the script itself has not ended."""
        return not self._ended.done()

    async def wait(self) -> int:
        """The exit status, negative for a signal. What else was in its process group is killed by then."""
        return await asyncio.shield(self._ended)

    async def stop(self, grace_s: float) -> None:
        """SIGTERM to the group, and SIGKILL if the script has not ended after `grace_s`."""
        if self.running:
            os.killpg(self.pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(grace_s):
                    await self.wait()
            except TimeoutError:
                self.kill()
        await self.wait()

    def kill(self) -> None:
        """SIGKILL to the group."""
        if self.running:
            kill_group(self.pid)

    def _on_end(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        kill_group(self.pid)  # before the id is free again
        self._ended.set_result(self._process.wait())
