"""What was learned a moment ago, and needs not be asked again."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Remembers values for `life_s`, and no more than `most` of them: the oldest makes room."""

    def __init__(self, life_s: float, most: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._life_s = life_s
        self._most = most
        self._clock = clock
        self._known: dict[Key, tuple[float, Value]] = {}

    def get(self, key: Key) -> Value | None:
        """The value, if it was put here a moment ago."""
        until, value = self._known.get(key, (0.0, None))
        return value if self._clock() < until else None

    def put(self, key: Key, value: Value) -> None:
        """Remember a value from now on."""
        self._known.pop(key, None)
        self._known[key] = (self._clock() + self._life_s, value)
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
