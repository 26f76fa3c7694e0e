"""What a build leaves of a component."""

from pathlib import Path
from typing import Self

import msgspec

from sandbox.nucleus.personality import CLASSIC
from sandbox.nucleus.recipe import read


class ComponentNotBuiltError(FileNotFoundError):
    """The directory does not hold what a build leaves."""


class BuiltComponent(msgspec.Struct, frozen=True):
    """A component as GDK leaves it: the recipe's file, and the directory of its artifacts."""

    recipe: Path
    artifacts: Path

    @property
    def name(self) -> str:
        """What its recipe calls it."""
        return read(self.recipe, CLASSIC.recipes).name

    @classmethod
    def find(cls, build: Path, name: str) -> Self:
        """The component of this name in GDK's directory `greengrass-build`.

        Raises:
            ComponentNotBuiltError: it is not there.
        """
        recipe = build / "recipes" / f"{name}.yaml"
        if recipe.is_file():
            artifacts = build / "artifacts" / name / read(recipe, CLASSIC.recipes).version
            if artifacts.is_dir():
                return cls(recipe, artifacts)
        raise ComponentNotBuiltError(
            f"{name} is not in {build}: build it first, with `make build` or `gdk component build`"
        )
