"""The components of one device: what is installed, with which configurations, and their lives."""

import asyncio
import functools
import graphlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sandbox.nucleus.configuration import Configuration, mapped, updated
from sandbox.nucleus.lifecycle import ComponentState, Lifecycle
from sandbox.nucleus.personality import Personality
from sandbox.nucleus.recipe import Recipe
from sandbox.nucleus.scripts import Variables, fill_in_classic

INTERPOLATE = "interpolateComponentConfiguration"
SETTLED_S = 2.0
"""A component that has run for as long as this counts as up: one that can't run at all has failed by then."""


class NotDeployedError(RuntimeError):
    """The device has no such component."""


class ComponentFailedError(Exception):
    """A component does not come up."""

    def __init__(self, name: str, state: ComponentState) -> None:
        super().__init__(f"Service {name} in state {state} after deployment")
        self.name = name


class ConfigurationUpdate(msgspec.Struct, frozen=True):
    """What a deployment changes in a component's configuration: JSON pointers to reset, and what is merged then."""

    reset: tuple[str, ...] = ()
    merge: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Snapshot(msgspec.Struct, frozen=True):
    """What was installed, and with which configurations, by component."""

    recipes: Mapping[str, Recipe]
    configurations: Mapping[str, Mapping[str, Any]]


class Components:
    """To be used in one event loop. `directory` is the Greengrass root. `environment` gives the variables of a process
    of a component, by its recipe and what stands for the start, which `revoke` is called with when it has ended;
    `on_broken` is called when one is given up."""

    def __init__(
        self,
        thing: str,
        directory: Path,
        personality: Personality,
        environment: Callable[[Recipe, str], Mapping[str, str]],
        revoke: Callable[[str], None],
        on_broken: Callable[[], None],
    ) -> None:
        self._thing = thing
        self._directory = directory
        self._personality = personality
        self._environment = environment
        self._revoke = revoke
        self._on_broken = on_broken
        self._lifecycles: dict[str, Lifecycle] = {}
        self._configurations: dict[str, Configuration] = {}
        self._own: dict[str, Mapping[str, Any]] = {}
        self._is_on = False
        self._changed = asyncio.Event()

    @property
    def lifecycles(self) -> Mapping[str, Lifecycle]:
        """By component."""
        return self._lifecycles

    def lifecycle(self, name: str) -> Lifecycle:
        """
        Raises:
            NotDeployedError: it isn't here.
        """
        if name not in self._lifecycles:
            raise NotDeployedError(f"component {name} is not on {self._thing}: deploy it first")
        return self._lifecycles[name]

    def configuration(self, name: str) -> Configuration | None:
        """Of a component, None if it isn't here."""
        return self._configurations.get(name)

    def existing_configuration(self, name: str) -> Configuration:
        """
        Raises:
            NotDeployedError: it isn't here.
        """
        self.lifecycle(name)
        return self._configurations[name]

    def set_own(self, name: str, values: Mapping[str, Any]) -> None:
        """Have values in the device's own configuration of a component, to which deployments add: what is in the file
        that its nucleus was set up with."""
        self._own[name] = values

    def forget_listeners(self) -> None:
        """Tell nobody of changed configurations any more."""
        for configuration in self._configurations.values():
            configuration.forget_listeners()

    def snapshot(self) -> Snapshot:
        """What is installed now."""
        return Snapshot(
            {name: lifecycle.recipe for name, lifecycle in self._lifecycles.items()},
            {name: configuration.values for name, configuration in self._configurations.items()},
        )

    def log_path(self, name: str) -> Path:
        """What a component wrote to its standard output and error."""
        return self._directory / "logs" / f"{name}.log"

    def artifacts(self, recipe: Recipe) -> Path:
        """Where the artifacts of a component's version are."""
        return self._directory / "packages" / "artifacts" / recipe.name / recipe.version

    def unpacked(self, recipe: Recipe) -> Path:
        """Where they are unpacked."""
        return self._directory / "packages" / "artifacts-unarchived" / recipe.name / recipe.version

    # ---- The device's power

    def start(self) -> None:
        """Run what is installed."""
        self._is_on = True
        for lifecycle in self._lifecycles.values():
            lifecycle.start()

    async def stop(self) -> None:
        """Stop everything, as a device does that shuts down."""
        if self._is_on:
            self._is_on = False
            await self._stop(self._lifecycles)

    async def cut_power(self) -> None:
        """SIGKILL everything."""
        if self._is_on:
            self._is_on = False
            await asyncio.gather(*(lifecycle.cut_power() for lifecycle in self._lifecycles.values()))

    # ---- Deployments

    async def apply(
        self, wanted: Mapping[str, Recipe], updates: Mapping[str, ConfigurationUpdate], again: Collection[str] = ()
    ) -> set[str]:
        """Have these components, whose artifacts are there, and no others. What is the same goes on, if its scripts
        don't change with its configuration, and it is not in `again`; the result is all else."""
        values: dict[str, dict[str, Any]] = {}
        for name, recipe in wanted.items():
            has = self._configurations.get(name)
            before = self._own.get(name, {}) if has is None else has.values
            update = updates.get(name, ConfigurationUpdate())
            values[name] = updated(before, recipe.default_configuration, update.reset, update.merge)
        if self._personality.interpolates and values.get(self._personality.component, {}).get(INTERPOLATE) in _TRUE:
            values = {name: self._filled_in(wanted[name], of) for name, of in values.items()}
        return await self._have(Snapshot(wanted, values), again)

    async def restore(self, snapshot: Snapshot) -> set[str]:
        """Have what was installed then; the result is what was started for that."""
        return await self._have(snapshot, ())

    async def wait_up(self, names: Collection[str]) -> None:
        """Return when these components are up.

        Raises:
            ComponentFailedError: one does not come up.
        """
        while names:
            lifecycles = {name: self._lifecycles[name] for name in names}
            for name, lifecycle in lifecycles.items():
                if lifecycle.state in {ComponentState.BROKEN, ComponentState.INSTALLING}:
                    raise ComponentFailedError(name, lifecycle.state)
            limit_s = SETTLED_S if all(lifecycle.is_up for lifecycle in lifecycles.values()) else None
            try:
                async with asyncio.timeout(limit_s):
                    await self.changed()
            except TimeoutError:
                return

    async def changed(self) -> None:
        """Return at the next change of a component's state."""
        await self._changed.wait()

    async def _have(self, wanted: Snapshot, again: Collection[str]) -> set[str]:
        now = self.snapshot().recipes
        other = {name for name, recipe in wanted.recipes.items() if now.get(name) != recipe} | {*again}
        gone = now.keys() - wanted.recipes.keys()
        stopped = self._with_dependents(other, wanted.recipes)
        await self._stop(gone | stopped)
        for name in gone:
            del self._lifecycles[name], self._configurations[name]
        before = {name: lifecycle.scripts for name, lifecycle in self._lifecycles.items()}
        for name, values in wanted.configurations.items():
            self._configurations.setdefault(name, Configuration()).replace(values)
        rewritten = {name for name, scripts in before.items() if self._lifecycles[name].scripts != scripts}
        stopped |= self._with_dependents(rewritten, wanted.recipes)
        await self._stop(stopped)
        reinstalled = {
            name for name in rewritten if self._lifecycles[name].scripts.get("install") != before[name].get("install")
        }
        for name in other | reinstalled:
            self._lifecycles[name] = self._new(wanted.recipes[name])
        if self._is_on:
            for name in stopped:
                self._lifecycles[name].start()
        return stopped

    def _with_dependents(self, names: Iterable[str], recipes: Mapping[str, Recipe]) -> set[str]:
        found = {*names}
        for name in _in_order(recipes):
            needed = recipes[name].dependencies.items()
            if any(dependency.is_hard and of in found for of, dependency in needed):
                found.add(name)
        return found

    async def _stop(self, names: Collection[str]) -> None:
        recipes = {name: lifecycle.recipe for name, lifecycle in self._lifecycles.items()}
        for name in reversed(_in_order(recipes)):
            if name in names:
                await self._lifecycles[name].stop()

    def _new(self, recipe: Recipe) -> Lifecycle:
        variables = self._variables(recipe, self._configurations[recipe.name])
        for directory in (variables.work, variables.artifacts, self._directory / "logs", self._directory / "tmp"):
            directory.mkdir(parents=True, exist_ok=True)

        async def ready() -> None:
            while not self._has_needed(recipe):
                await self.changed()

        return Lifecycle(
            self._personality.lifecycle,
            recipe,
            variables,
            self.log_path(recipe.name),
            lambda start: self._environment(recipe, start),
            self._revoke,
            functools.partial(self._notify, recipe.name),
            ready,
        )

    def _has_needed(self, recipe: Recipe) -> bool:
        return all(
            self._lifecycles[name].is_up
            for name, dependency in recipe.dependencies.items()
            if dependency.is_hard and name in self._lifecycles
        )

    def _variables(self, recipe: Recipe, configuration: Configuration) -> Variables:
        return Variables(
            thing=self._thing,
            artifacts=self.artifacts(recipe),
            decompressed=self.unpacked(recipe),
            work=self._directory / "work" / recipe.name,
            root=self._directory,
            configuration=configuration,
        )

    def _filled_in(self, recipe: Recipe, values: dict[str, Any]) -> dict[str, Any]:
        variables = self._variables(recipe, Configuration(values))
        return dict(mapped(values, lambda text: fill_in_classic(text, variables)))

    def _notify(self, name: str) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        if self._lifecycles[name].state is ComponentState.BROKEN:
            self._on_broken()


_TRUE = (True, "true")


def _in_order(recipes: Mapping[str, Recipe]) -> list[str]:
    """What others need comes before them."""
    needs = {name: [of for of in recipe.dependencies if of in recipes] for name, recipe in recipes.items()}
    return list(graphlib.TopologicalSorter(needs).static_order())
