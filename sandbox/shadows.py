"""A named shadow that keeps AWS's rules, for a stand-in nucleus that has no AWS behind it."""

import time
from collections.abc import Callable
from typing import Any

import msgspec


class Shadow:
    """A merged document with versions and metadata. `clock` tells the time of its documents."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.desired: dict[str, Any] = {}
        self.reported: dict[str, Any] = {}
        self.version = 0
        self._clock = clock

    def update(self, state: dict[str, Any]) -> None:
        """What the payload of an update has as its state."""
        self.version += 1
        self.desired = _merge(self.desired, state.get("desired") or {})
        self.reported = _merge(self.reported, state.get("reported") or {})

    @property
    def delta(self) -> dict[str, Any]:
        """What of desired is not reported so."""
        return _difference(self.desired, self.reported)

    def document(self) -> bytes:
        """The answer to a get."""
        halves = {"desired": self.desired, "reported": self.reported}
        now = int(self._clock())
        return msgspec.json.encode(
            {
                "state": halves | ({"delta": self.delta} if self.delta else {}),
                "metadata": {name: _stamped(half, now) for name, half in halves.items()},
                "version": self.version,
                "timestamp": now,
            }
        )

    def delta_message(self) -> bytes:
        """What is sent on the topic of deltas."""
        return msgspec.json.encode({"version": self.version, "state": self.delta})


def _merge(old: Any, new: Any) -> Any:
    """Objects recursively, null removes, all else replaces."""
    if not isinstance(new, dict):
        return new
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _difference(desired: dict[str, Any], reported: dict[str, Any]) -> dict[str, Any]:
    result = {}
    for key, value in desired.items():
        other = reported.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            if nested := _difference(value, other):
                result[key] = nested
        elif value != other:
            result[key] = value
    return result


def _stamped(value: Any, now: int) -> Any:
    """The metadata: a timestamp for each leaf."""
    if isinstance(value, dict):
        return {key: _stamped(inner, now) for key, inner in value.items()}
    return {"timestamp": now}
