"""Carrying out deployments on one device: resolve, fetch, ask, update, and go back if that fails."""

import asyncio
import graphlib
import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sandbox.greengrass.versions import Requirement
from sandbox.nucleus.artifacts import ArtifactError, ArtifactStore
from sandbox.nucleus.component_updates import Updates
from sandbox.nucleus.components import ComponentFailedError, Components, ConfigurationUpdate, Snapshot
from sandbox.nucleus.deployment_document import DeploymentDocument
from sandbox.nucleus.personality import Personality
from sandbox.nucleus.recipe import TOKEN_EXCHANGE, Recipe, read
from sandbox.nucleus.resolution import NoVersionError, resolve
from sandbox.recipe_keys import RecipeError

logger = logging.getLogger(__name__)

TOKEN_EXCHANGE_VERSION = "2.0.3"  # noqa: S105  (a component's)
_LOCAL = "LOCAL_DEPLOYMENT"


class Outcome(msgspec.Struct, frozen=True):
    """How a deployment has ended, as the nucleus tells the job."""

    status: str
    details: Mapping[str, str]


def succeeded() -> Outcome:
    """All went well."""
    return Outcome("SUCCEEDED", {"detailed-deployment-status": "SUCCESSFUL"})


def failed(detail: str, error: Exception, kind: str, *codes: str) -> Outcome:
    """It did not; `codes` go from the least to the most specific."""
    return Outcome(
        "FAILED",
        {
            "detailed-deployment-status": detail,
            "deployment-failure-cause": " ".join(str(error).split())[:1000],
            "deployment-error-stack": ",".join(("DEPLOYMENT_FAILURE", *codes)),
            "deployment-error-types": kind,
        },
    )


class Cloud(msgspec.Struct, frozen=True):
    """What a device asks of AWS for a deployment: the recipe of the best version of a component that meets
    requirements, as JSON, None if there is none; artifacts; and the groups of a thing. Of what is `provided` nothing is
    run: all of it is there."""

    recipe: Callable[[str, Sequence[Requirement]], bytes | None]
    artifacts: ArtifactStore
    groups: Callable[[str], Collection[str]]
    provided: frozenset[str] = frozenset()


class Deployments:
    """One at a time. What it keeps outlives the power, as on a device's disk."""

    def __init__(
        self,
        thing: str,
        directory: Path,
        personality: Personality,
        components: Components,
        updates: Updates,
        cloud: Cloud,
    ) -> None:
        self._thing = thing
        self._directory = directory
        self._personality = personality
        self._components = components
        self._updates = updates
        self._cloud = cloud
        self._roots: dict[str, dict[str, str]] = {}
        self._under_way: Snapshot | None = None
        self._lock = asyncio.Lock()
        of_nucleus = (personality.component, personality.version), (TOKEN_EXCHANGE, TOKEN_EXCHANGE_VERSION)
        self._built_in = {name: _without_steps(name, version) for name, version in of_nucleus}

    @property
    def roots(self) -> Mapping[str, str]:
        """The components that deployments name, each with the target that does."""
        return {name: target for target, versions in self._roots.items() for name in versions}

    async def carry_out(self, document: DeploymentDocument) -> Outcome:
        """Returns when the device has what the document asks for, or again what it had."""
        async with self._lock:
            return await self._carry_out(document)

    async def install(self, recipe_path: Path, artifacts: Path, configuration: Mapping[str, Any]) -> str:
        """Have a component beside what is there, or in place of another version of it, from files: `greengrass-cli
        deployment create`. It is stopped and started, even if all is the same. The result is its name.

        Raises:
            RecipeError: the recipe is not one that a nucleus would take for this machine.
            FileNotFoundError: an artifact is missing.
        """
        recipe = read(recipe_path, self._personality.recipes)
        async with self._lock:
            await self._updates.ask("local")
            self._copy(recipe, artifacts)
            wanted = {**self._built_in, **self._components.snapshot().recipes, recipe.name: recipe}
            updates = {recipe.name: ConfigurationUpdate(merge=configuration)}
            await self._components.apply(wanted, updates, again={recipe.name})
            self._roots.setdefault(_LOCAL, {})[recipe.name] = recipe.version
        return recipe.name

    async def _carry_out(self, document: DeploymentDocument) -> Outcome:
        groups = await asyncio.to_thread(self._cloud.groups, self._thing)
        kept = {target: versions for target, versions in self._roots.items() if _still_counts(target, groups)}
        target = document.target(knows_subdeployments=self._personality.knows_subdeployments)
        roots = kept | {target: {name: one.version for name, one in document.components.items()}}
        try:
            granted = self._personality.takes_for_granted
            recipes = self._with_built_in(resolve(roots, self._find, granted))
            await self._fetch(recipes.values())
        except NoVersionError as error:
            return failed("FAILED_NO_STATE_CHANGE", error, "REQUEST_ERROR", "NO_AVAILABLE_COMPONENT_VERSION")
        except graphlib.CycleError as error:
            return failed("FAILED_NO_STATE_CHANGE", error, "REQUEST_ERROR", "CIRCULAR_DEPENDENCY_ERROR")
        except RecipeError as error:
            return failed("FAILED_NO_STATE_CHANGE", error, "COMPONENT_RECIPE_ERROR", "COMPONENT_PACKAGE_LOADING_ERROR")
        except ArtifactError as error:
            return failed("FAILED_NO_STATE_CHANGE", error, "DEPENDENCY_ERROR", *error.codes)
        if document.component_update_policy.action == "NOTIFY_COMPONENTS":
            await self._updates.ask(document.deployment_id, document.component_update_policy.timeout)
        if self._under_way is None:  # else the power was cut while this was under way
            self._under_way = self._components.snapshot()
        before = self._under_way
        outcome = await self._update(document, recipes, before)
        if outcome.details["detailed-deployment-status"] in {"SUCCESSFUL", "FAILED_ROLLBACK_NOT_REQUESTED"}:
            self._roots = roots
        self._under_way = None
        return outcome

    async def _update(self, document: DeploymentDocument, recipes: Mapping[str, Recipe], before: Snapshot) -> Outcome:
        started = await self._components.apply(recipes, document.updates)
        started |= {name for name, recipe in recipes.items() if before.recipes.get(name) != recipe}
        try:
            await self._components.wait_up(started)
        except ComponentFailedError as error:
            codes = ("USER_COMPONENT_ERROR", "COMPONENT_UPDATE_ERROR", "COMPONENT_BROKEN")
            if document.failure_handling_policy != "ROLLBACK":
                return failed("FAILED_ROLLBACK_NOT_REQUESTED", error, *codes)
            logger.warning("rolling back deployment %s: %s", document.deployment_id, error)
            try:
                await self._components.wait_up(await self._components.restore(before))
            except ComponentFailedError as again:
                return failed("FAILED_UNABLE_TO_ROLLBACK", again, *codes)
            return failed("FAILED_ROLLBACK_COMPLETE", error, *codes)
        return succeeded()

    def _with_built_in(self, recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
        everything = {self._personality.component: self._built_in[self._personality.component], **recipes}
        graphlib.TopologicalSorter({name: recipe.dependencies for name, recipe in everything.items()}).prepare()
        return everything

    def _find(self, name: str, requirements: Sequence[Requirement]) -> Recipe | None:
        if name in self._built_in:
            built_in = self._built_in[name]
            return built_in if all(built_in.version in wanted for wanted in requirements) else None
        text = self._cloud.recipe(name, requirements)
        if text is None:
            here = self._components.snapshot().recipes.get(name)
            return here if here is not None and all(here.version in wanted for wanted in requirements) else None
        path = self._directory / "packages" / "recipes" / f"{name}.yaml"  # JSON is YAML
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        recipe = read(path, self._personality.recipes)
        return msgspec.structs.replace(recipe, steps={}, artifacts=()) if name in self._cloud.provided else recipe

    async def _fetch(self, recipes: Iterable[Recipe]) -> None:
        for recipe in recipes:
            target = self._components.artifacts(recipe)
            target.mkdir(parents=True, exist_ok=True)
            for artifact in recipe.artifacts:
                await asyncio.to_thread(self._cloud.artifacts.fetch, artifact, target / artifact.name)
            self._unpack(recipe)

    def _copy(self, recipe: Recipe, source: Path) -> None:
        target = self._components.artifacts(recipe)
        target.mkdir(parents=True, exist_ok=True)
        for artifact in recipe.artifacts:
            (target / artifact.name).unlink(missing_ok=True)
            shutil.copyfile(source / artifact.name, target / artifact.name)
            (target / artifact.name).chmod(0o444)
        self._unpack(recipe)

    def _unpack(self, recipe: Recipe) -> None:
        target = self._components.unpacked(recipe)
        target.mkdir(parents=True, exist_ok=True)
        for artifact in recipe.artifacts:
            if artifact.zipped and self._personality.unpacks_archives:
                path = self._components.artifacts(recipe) / artifact.name
                shutil.unpack_archive(path, target / path.stem, "zip")


def _still_counts(target: str, groups: Collection[str]) -> bool:
    """Whether what was deployed to a target is still for a device that is in these groups."""
    _, is_of_group, group = target.partition(":configuration:thinggroup:")
    return not is_of_group or group in groups


def _without_steps(name: str, version: str) -> Recipe:
    return Recipe(name=name, version=version, dependencies={}, default_configuration={}, artifacts=(), steps={})
