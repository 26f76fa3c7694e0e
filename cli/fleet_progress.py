"""A deployment, followed on the screen to its end on each device."""

from collections import Counter
from typing import TYPE_CHECKING

from cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from operations.fleets.following import DeviceState, Following

_NAMED = 5


def follow(screen: Screen, following: "Following", limit_s: float) -> "Sequence[DeviceState]":
    """Tell what is new of each device, until it has ended on all of them or the time is up; gives how far each is."""
    told: dict[str, DeviceState] = {}
    screen.start_moving()
    try:
        for states in following.to_its_end(limit_s):
            for state in states:
                if told.get(state.thing) != state:
                    told[state.thing] = state
                    screen.line(_line(state))
            screen.picture(in_words(states))
    finally:
        screen.stop_moving()
    return list(told.values())


def in_words(states: "Iterable[DeviceState]") -> str:
    """How many devices are how far, and what went wrong on some."""
    counts = Counter(state.outcome for state in states)
    text = ", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts))
    failed = [f"{state.thing}: {state.reason}" for state in states if state.outcome == "failed"]
    more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    return text + (f" ({'; '.join(failed[:_NAMED])}{more})" if failed else "")


def _line(state: "DeviceState") -> str:
    versions = "".join(f"  {name} {version}" for name, version in sorted(state.versions.items()))
    return f"{state.thing}  {state.outcome}{versions}" + (f": {state.reason}" if state.reason else "")
