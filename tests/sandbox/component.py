"""A component's life without a device around it, and what it did."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from sandbox.nucleus.configuration import Configuration
from sandbox.nucleus.lifecycle import ComponentState, Lifecycle, LifecycleTraits
from sandbox.nucleus.personality import CLASSIC
from sandbox.nucleus.recipe import Recipe, Step
from sandbox.nucleus.scripts import Variables


class Component:
    """A lifecycle, and what it did."""

    def __init__(
        self,
        directory: Path,
        traits: LifecycleTraits = CLASSIC.lifecycle,
        skip_if: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        configuration: Mapping[str, str] | None = None,
        **scripts: str | tuple[str, float],
    ) -> None:
        steps = {}
        for name, script in scripts.items():
            text, timeout_s = script if isinstance(script, tuple) else (script, 120.0)
            steps[name] = Step(
                script=text,
                timeout_s=timeout_s,
                environment={"FROM_RECIPE": "1"},
                skip_if=(skip_if or {}).get(name, ""),
            )
        self._shared_environment = {"PATH": os.environ["PATH"], **(environment or {})}
        self.log = directory / "log"
        self.states: list[ComponentState] = []
        self.valid: set[str] = set()
        self.used: list[str] = []
        self._changed = asyncio.Event()
        self.lifecycle = Lifecycle(
            traits,
            Recipe(
                name="c",
                version="1",
                dependencies={},
                default_configuration={},
                artifacts=(),
                steps=steps,
            ),
            Variables(
                thing="t",
                artifacts=directory,
                decompressed=directory,
                work=directory,
                root=directory,
                configuration=Configuration(configuration),
            ),
            self.log,
            self._environment,
            self.valid.discard,
            self._note,
        )

    def _environment(self, svcuid: str) -> Mapping[str, str]:
        self.valid.add(svcuid)
        self.used.append(svcuid)
        return {"SVCUID": svcuid, **self._shared_environment}

    def _note(self) -> None:
        self.states.append(self.lifecycle.state)
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, state: ComponentState, times: int = 1, limit_s: float = 20.0) -> None:
        async with asyncio.timeout(limit_s):
            while self.states.count(state) < times:
                await self._changed.wait()
