"""What happens to a component on a device: installed, run, restarted when it fails, stopped.

The rules are the classic nucleus's: exit status 0 is the end, anything else an error; each start has a new SVCUID;
the third error within an hour makes it BROKEN, until the next deployment or restart of the nucleus.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from sandbox.nucleus.process import KILLED, ScriptProcess
from sandbox.nucleus.recipe import Recipe, Step, Variables, interpolate

logger = logging.getLogger(__name__)

MAX_ERRORS = 3
ERROR_WINDOW_S = 3600.0
RESTART_DELAY_S = 0.2
STOP_GRACE_S = 5.0


class ComponentState(StrEnum):
    """Where a component is in its life."""

    NEW = "NEW"
    INSTALLED = "INSTALLED"
    RUNNING = "RUNNING"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"
    FINISHED = "FINISHED"
    STOPPED = "STOPPED"


Environment = Callable[[str], Mapping[str, str]]


class Lifecycle:
    """Leads one component through its life.

    `environment` gives the variables for a process that has this SVCUID, which is valid until `revoke` is called with
    it. `on_change` is called after each change of state.
    """

    def __init__(
        self,
        recipe: Recipe,
        variables: Variables,
        log_path: Path,
        environment: Environment,
        revoke: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        """
        Raises:
            RecipeError: a script has a variable that stands for nothing.
        """
        for step in recipe.steps.values():
            interpolate(step.script, variables)
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
        self._reported_error = False

    @property
    def pid(self) -> int | None:
        """Process id of the step that runs now, which leads a process group."""
        return self._process.pid if self._process is not None and self._process.running else None

    def start(self) -> None:
        """Install it, unless that is done, and run it."""
        self._stopping.clear()
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def stop(self) -> None:
        """SIGTERM, SIGKILL after five seconds; returns when it has ended."""
        self._stopping.set()
        if self._process is not None:
            await self._process.stop(STOP_GRACE_S)
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
        """Take what the component says of its own state; ERRORED restarts it."""
        if state is ComponentState.ERRORED and self._process is not None and self._process.running:
            self._reported_error = True
            self._process.kill()

    async def _end(self) -> None:
        if self._task is not None:
            await self._task
            self._task = None

    async def _live(self) -> None:
        errors: deque[float] = deque(maxlen=MAX_ERRORS)
        now = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            finished = await self._install() and await self._run()
            if self._stopping.is_set():
                break
            if finished:
                self._change(ComponentState.FINISHED)
                return
            errors.append(now())
            if len(errors) == MAX_ERRORS and errors[-1] - errors[0] < ERROR_WINDOW_S:
                logger.error("%s: %s is broken: %d errors", self._variables.thing, self.recipe.name, MAX_ERRORS)
                self._change(ComponentState.BROKEN)
                return
            self._change(ComponentState.ERRORED)
            await self._pause()
        self._change(ComponentState.STOPPED)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RESTART_DELAY_S):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _install(self) -> bool:
        step = self.recipe.steps.get("install")
        if not self._installed and step is not None:
            try:
                async with asyncio.timeout(step.timeout_s):
                    if await self._execute("install", step) != 0:
                        return False
            except TimeoutError:
                logger.warning("%s: install took longer than %s s", self._variables.thing, step.timeout_s)
                return False
        self._installed = True
        self._change(ComponentState.INSTALLED)
        return True

    async def _run(self) -> bool:
        step = self.recipe.steps.get("run")
        return step is None or await self._execute("run", step) == 0

    async def _execute(self, name: str, step: Step) -> int:
        if self._stopping.is_set():
            return KILLED
        svcuid = secrets.token_hex(16)
        script = interpolate(step.script, self._variables)
        environment = {**self._environment(svcuid), **step.environment}
        self._reported_error = False
        self._process = ScriptProcess(script, self._variables.work, environment, self._log_path)
        if name == "run":
            self._change(ComponentState.RUNNING)
        try:
            status = await self._process.wait()
        finally:
            self._process.kill()
            self._revoke(svcuid)
        logger.info("%s: %s of %s ended with %d", self._variables.thing, name, self.recipe.name, status)
        return 1 if self._reported_error else status

    def _change(self, state: ComponentState) -> None:
        self.state = state
        self._on_change()
