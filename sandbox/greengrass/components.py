"""Component versions that are published, of this account and of AWS."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from sandbox.greengrass.arns import Arns
from sandbox.greengrass.errors import AccessDeniedError, ConflictError, NotFoundError
from sandbox.greengrass.recipes import Platform, PublishedRecipe
from sandbox.greengrass.versions import Version


class ComponentVersion(msgspec.Struct, kw_only=True):
    """One version; `document` is its recipe with the digests of the artifacts."""

    recipe: PublishedRecipe
    document: dict[str, Any]
    arn: str
    created_at: datetime
    tags: dict[str, str]

    @property
    def name(self) -> str:
        """The component's."""
        return self.recipe.name

    @property
    def version(self) -> str:
        """Its own."""
        return self.recipe.version


class Components:
    """By name, the highest version first."""

    def __init__(self, arns: Arns, of_aws: Mapping[str, str], now: datetime) -> None:
        """`of_aws` is the version of each component that is there for all accounts."""
        self._arns = arns
        self._versions: dict[str, list[ComponentVersion]] = {}
        for name, version in of_aws.items():
            self._add(_of_aws(name, version), {}, arns.component(name, version, account="aws"), {}, now)

    def add(
        self, recipe: PublishedRecipe, document: dict[str, Any], tags: dict[str, str], now: datetime
    ) -> ComponentVersion:
        """
        Raises:
            ConflictError: there is this version.
        """
        self.check_new(recipe)
        return self._add(recipe, document, self._arns.component(recipe.name, recipe.version), tags, now)

    def check_new(self, recipe: PublishedRecipe) -> None:
        """
        Raises:
            ConflictError: there is this version.
        """
        if any(version.version == recipe.version for version in self._versions.get(recipe.name, ())):
            text = f"Component [{recipe.name} : {recipe.version}] for account [{self._arns.account}] already exists"
            raise ConflictError(f"{text} with state: [DEPLOYABLE]", "component", f"{recipe.name}:{recipe.version}")

    def _add(
        self, recipe: PublishedRecipe, document: dict[str, Any], arn: str, tags: dict[str, str], now: datetime
    ) -> ComponentVersion:
        added = ComponentVersion(recipe=recipe, document=document, arn=arn, created_at=now, tags=tags)
        versions = self._versions.setdefault(recipe.name, [])
        versions.append(added)
        versions.sort(key=lambda one: Version(one.version), reverse=True)
        return added

    def find(self, name: str, version: str) -> ComponentVersion | None:
        """One version by name, None if there is none."""
        return next((one for one in self._versions.get(name, ()) if one.version == version), None)

    def at(self, arn: str) -> ComponentVersion:
        """
        Raises:
            NotFoundError: there is none.
        """
        for one in self.all():
            if one.arn == arn:
                return one
        raise NotFoundError(f"Component with ARN {arn} does not exist", "component", arn)

    def versions(self, arn: str) -> list[ComponentVersion]:
        """The versions of a component's ARN; none is no error."""
        return [one for one in self.all() if self._arns.without_version(one.arn) == arn]

    def of(self, name: str) -> list[ComponentVersion]:
        """The versions of a name."""
        return list(self._versions.get(name, ()))

    def latest(self, scope: str) -> list[ComponentVersion]:
        """The highest version of each component, PUBLIC or PRIVATE."""
        newest = (versions[0] for _, versions in sorted(self._versions.items()))
        return [one for one in newest if (scope == "PUBLIC") == self._arns.is_of_aws(one.arn)]

    def remove(self, arn: str) -> None:
        """
        Raises:
            NotFoundError: there is none.
            AccessDeniedError: it is AWS's.
        """
        one = self.at(arn)
        if self._arns.is_of_aws(arn):
            raise AccessDeniedError(f"{arn} belongs to AWS")
        self._versions[one.name].remove(one)
        if not self._versions[one.name]:
            del self._versions[one.name]

    def all(self) -> Iterator[ComponentVersion]:
        """Each version of each component."""
        for versions in list(self._versions.values()):
            yield from versions


def _of_aws(name: str, version: str) -> PublishedRecipe:
    any_platform = Platform(name=None, attributes={"os": "*"})
    return PublishedRecipe(
        name=name,
        version=version,
        description=None,
        publisher="AWS",
        dependencies={},
        platforms=(any_platform,),
        artifacts=(),
        document={},
    )
