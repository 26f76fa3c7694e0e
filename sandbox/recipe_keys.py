"""The maps of a component's recipe."""

from __future__ import annotations

from typing import Any


class RecipeError(ValueError):
    """A recipe that would be refused, or that asks for what the stand-in nucleus does not have."""


class Keys:
    """A map of a recipe whose keys are found with or without regard to case."""

    def __init__(self, raw: Any, where: str, *, exact: bool) -> None:
        if not isinstance(raw, dict):
            raise RecipeError(f"recipe: {where} is {raw!r}, not a map")
        self.raw = raw
        self._where = where
        self._exact = exact
        self._values = {self.known(str(key)): value for key, value in raw.items()}

    def known(self, key: str) -> str:
        """A key as it is compared."""
        return key if self._exact else key.lower()

    def value(self, key: str, kind: type[Any]) -> Any:
        value = self._values.get(self.known(key))
        if value is not None and not isinstance(value, kind):
            raise RecipeError(f"recipe: {self._where}/{key} is {value!r}, not a {kind.__name__}")
        return value

    def text(self, key: str) -> str:
        value = self._values.get(self.known(key))
        if not isinstance(value, str | int | float):
            raise RecipeError(f"recipe: {self._where}/{key} is {value!r}, not a text")
        return str(value)

    def child(self, key: str) -> Keys:
        return Keys(self.value(key, dict) or {}, f"{self._where}/{key}", exact=self._exact)

    def step(self, key: str, raw: Any) -> Keys:
        """A step of a life; one that is only a text is its script."""
        return Keys({"Script": raw} if isinstance(raw, str) else raw, f"{self._where}/{key}", exact=self._exact)

    def children(self, key: str) -> list[Keys]:
        values = self.value(key, list) or []
        return [Keys(value, f"{self._where}/{key}/{index}", exact=self._exact) for index, value in enumerate(values)]
