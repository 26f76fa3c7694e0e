"""What happens to a component on a device: installed, run, restarted when it fails, stopped.

Exit status 0 is the end of a run step, and the beginning of what a startup step has started; anything else is an error.
Each start has a new SVCUID; too many errors or starts within an hour make it BROKEN, until the next deployment or boot.
`LifecycleTraits` has what the two nuclei do differently.
"""

import asyncio
import functools
import logging
import secrets
import shutil
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from sandbox.nucleus.process import ScriptProcess
from sandbox.nucleus.recipe import Recipe, Step
from sandbox.nucleus.scripts import Variables
from sandbox.nucleus.systemd import APPENDED, NotifySocket

logger = logging.getLogger(__name__)

MAX_FAILURES = 3
WINDOW_S = 3600.0


class ComponentState(StrEnum):
    """Where a component is in its life. INSTALLING is one whose deployment has given up waiting: the installation goes
    on, and nothing comes after it; the next deployment stops it, and begins it anew."""

    NEW = "NEW"
    INSTALLING = "INSTALLING"
    INSTALLED = "INSTALLED"
    RUNNING = "RUNNING"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"
    FINISHED = "FINISHED"
    STOPPED = "STOPPED"


class _NotInstalledInTimeError(Exception):
    """The deployment waits no longer; the installation goes on."""


Environment = Callable[[str], Mapping[str, str]]


class LifecycleTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What the nuclei do differently: how recipe variables are filled in; seconds from SIGTERM to SIGKILL, and from a
    failure to the next start; how long a deployment waits for an installation, whatever its Timeout; the version of the
    systemd that startup steps are left to, if they are; whether starts within an hour are counted, or errors; and
    whether a component that reports itself ERRORED is restarted."""

    fill_in: Callable[[str, Variables], str]
    stop_grace_s: float
    restart_delay_s: float
    install_wait_s: float | None
    systemd: int | None
    counts_starts: bool
    restarts_reported: bool


class Patience:
    """Decides when to give up on a component: after MAX_FAILURES within WINDOW_S, by their starts or by their ends."""

    def __init__(self, *, counts_starts: bool) -> None:
        self._counts_starts = counts_starts
        self._counted: deque[float] = deque(maxlen=MAX_FAILURES)

    def is_over(self, started_at: float, failed_at: float) -> bool:
        """Take note of a failure; whether that was one too many."""
        self._counted.append(started_at if self._counts_starts else failed_at)
        return len(self._counted) == MAX_FAILURES and failed_at - self._counted[0] < WINDOW_S


class Lifecycle:
    """Leads one component through its life.

    `environment` gives the variables for a process that has this SVCUID, which is valid until `revoke` is called with
    it. `on_change` is called after each change of state.
    """

    def __init__(
        self,
        traits: LifecycleTraits,
        recipe: Recipe,
        variables: Variables,
        log_path: Path,
        environment: Environment,
        revoke: Callable[[str], None],
        on_change: Callable[[], None],
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`ready` is waited for before each start: what the component needs is up."""
        self._ready = ready
        self._traits = traits
        self.recipe = recipe
        self.state = ComponentState.NEW
        self._variables = variables
        self._log_path = log_path
        self._environment = environment
        self._revoke = revoke
        self._on_change = on_change
        self._process: ScriptProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._installed = False
        self._installing: asyncio.Task[bool] | None = None
        self._reported_error = False

    @property
    def is_up(self) -> bool:
        """Whether what needs it may start."""
        return self.state in {ComponentState.RUNNING, ComponentState.FINISHED}

    @property
    def scripts(self) -> Mapping[str, str]:
        """Its steps as they would run now."""
        return {name: self._traits.fill_in(step.script, self._variables) for name, step in self.recipe.steps.items()}

    @property
    def pid(self) -> int | None:
        """Process id of the step that runs now, which leads a process group."""
        return self._process.pid if self._process is not None and self._process.running else None

    def start(self) -> None:
        """Install it, unless that is done, and run it."""
        self._stopping.clear()
        self.state = ComponentState.NEW
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def stop(self) -> None:
        """Its shutdown script; then SIGTERM, and SIGKILL after the grace time; returns when it has ended."""
        self._stopping.set()
        if self._process is not None:
            if self._process.running or self.state is ComponentState.RUNNING:
                await self._run("shutdown")
            await self._process.stop(self._traits.stop_grace_s)
        await self._end()

    async def cut_power(self) -> None:
        """SIGKILL, at once."""
        self._stopping.set()
        self.kill()
        await self._end()

    def kill(self) -> None:
        """SIGKILL what runs; it counts as an error."""
        if self._process is not None:
            self._process.kill()

    def report(self, state: ComponentState) -> None:
        """Take what the component says of its own state; ERRORED may restart it."""
        if not self._traits.restarts_reported:
            return
        if state is ComponentState.ERRORED and self._process is not None and self._process.running:
            self._reported_error = True
            self._process.kill()

    async def _end(self) -> None:
        if self._task is not None:
            await self._task
            self._task = None
        if self._installing is not None:
            await self._installing

    async def _live(self) -> None:
        if not await self._is_ready():
            self._change(ComponentState.STOPPED)
            return
        patience = Patience(counts_starts=self._traits.counts_starts)
        now = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            started_at = now()
            try:
                finished = await self._install() and not self._stopping.is_set() and await self._work()
            except _NotInstalledInTimeError:
                self._change(ComponentState.INSTALLING)
                return
            if self._stopping.is_set():
                break
            if finished:
                self._change(ComponentState.FINISHED)
                return
            if patience.is_over(started_at, now()):
                logger.error("%s: %s is broken: %d failures", self._variables.thing, self.recipe.name, MAX_FAILURES)
                self._change(ComponentState.BROKEN)
                return
            self._change(ComponentState.ERRORED)
            await self._run("recover")
            await self._pause()
        self._change(ComponentState.STOPPED)

    async def _is_ready(self) -> bool:
        """Wait until it may start; False if it is stopped meanwhile."""
        if self._ready is None:
            return True
        waiting = [asyncio.ensure_future(self._ready()), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()
        return not self._stopping.is_set()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._traits.restart_delay_s):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _install(self) -> bool:
        if self._installed:
            return True
        self._installing = asyncio.get_running_loop().create_task(self._run_install())
        await asyncio.wait({self._installing}, timeout=self._traits.install_wait_s)
        if not self._installing.done():
            logger.warning("%s: Failed waiting for %s.install", self._variables.thing, self.recipe.name)
            raise _NotInstalledInTimeError
        return await self._installing

    async def _run_install(self) -> bool:
        self._installed = await self._run("install")
        if self._installed:
            self._change(ComponentState.INSTALLED)
        return self._installed

    async def _work(self) -> bool:
        """Run it, or start it up, and then it is up until it is stopped; whether all went well."""
        if "startup" not in self.recipe.steps:
            return await self._run("run")
        if self._traits.systemd is None:
            came_up, stays = await self._run("startup"), True
        else:
            came_up, stays = await self._start_unit(self.recipe.steps["startup"], self._traits.systemd)
        if came_up and stays:
            self._change(ComponentState.RUNNING)
            await self._stopping.wait()
        return came_up

    async def _start_unit(self, step: Step, version: int) -> tuple[bool, bool]:
        """Start up as a unit of systemd, Type=notify and RemainAfterExit; whether it came up, and whether it still is:
        one that says STOPPING=1 is deactivated."""
        notify = NotifySocket(
            version, self._variables.root / "bin", functools.partial(self._change, ComponentState.RUNNING)
        )
        ended = asyncio.ensure_future(self._execute("startup", step, notify))
        ready = asyncio.ensure_future(notify.ready.wait())
        try:
            await asyncio.wait({ended, ready}, timeout=step.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done() and not ready.done():
                logger.warning("%s: startup took longer than %s s", self._variables.thing, step.timeout_s)
                self.kill()
            status = await ended
        finally:
            ready.cancel()
            notify.close()
        return status == 0 and notify.ready.is_set(), not notify.stopping.is_set()

    async def _run(self, name: str) -> bool:
        """Run a step to its end, if there is one; whether all went well."""
        step = self.recipe.steps.get(name)
        if step is None:
            return True
        try:
            async with asyncio.timeout(None if name == "run" else step.timeout_s):
                return await self._execute(name, step) == 0
        except TimeoutError:
            logger.warning("%s: %s took longer than %s s", self._variables.thing, name, step.timeout_s)
            return False

    async def _execute(self, name: str, step: Step, notify: NotifySocket | None = None) -> int:
        svcuid = secrets.token_hex(16)
        environment = {**self._environment(svcuid), **step.environment}
        if _is_skipped(self._traits.fill_in(step.skip_if, self._variables), environment):
            self._revoke(svcuid)
            return 0
        script = self._traits.fill_in(step.script, self._variables)
        if notify is not None:
            script += APPENDED
            environment = notify.environment(environment)
        process = ScriptProcess(script, self._variables.work, environment, self._log_path)
        if name != "shutdown":  # which runs beside what it is to shut down
            self._process = process
            self._reported_error = False
        if name == "run":
            self._change(ComponentState.RUNNING)
        try:
            status = await process.wait()
        finally:
            process.kill()
            self._revoke(svcuid)
        logger.info("%s: %s of %s ended with %d", self._variables.thing, name, self.recipe.name, status)
        return 1 if self._reported_error else status

    def _change(self, state: ComponentState) -> None:
        self.state = state
        self._on_change()


def _is_skipped(condition: str, environment: Mapping[str, str]) -> bool:
    kind, _, what = condition.partition(" ")
    if kind == "onpath":
        return shutil.which(what.strip(), path=environment.get("PATH")) is not None
    return kind == "exists" and Path(what.strip()).exists()
