"""Which devices of a group get a deployment before the others."""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, zip_longest

from operations.fleets.groups import LITE, CoreDevice

SUFFIX = "-canary"
"""Of the thing group that they are in."""


class TooFewCanariesError(ValueError):
    """Not so many devices of the group can be canaries."""


def chosen(devices: Sequence[CoreDevice], members: Collection[str], count: int) -> list[str]:
    """So many devices, by name: those that are canaries already, all of them, and if these are too few others that are
    healthy, of as many architectures as there are.

    Raises:
        TooFewCanariesError: see there; nucleus lite has no subdeployments.
    """
    able = [device for device in devices if device.runtime != LITE]
    present = [device.thing for device in able if device.thing in members]
    others = [device for device in able if device.thing not in members and device.is_healthy]
    found = [*present, *_in_turn(others)[: max(count - len(present), 0)]]
    if len(found) < count:
        lite = sum(device.runtime == LITE for device in devices)
        raise TooFewCanariesError(
            f"{count} canaries are asked for, and only {len(found)} of {len(devices)} core devices can be: they have "
            f"to be healthy, and {lite} have nucleus lite, which takes no deployment for a part of its group"
        )
    return sorted(found)


def _in_turn(devices: Iterable[CoreDevice]) -> list[str]:
    of_architecture: dict[str, list[str]] = {}
    for device in devices:
        of_architecture.setdefault(device.architecture, []).append(device.thing)
    rows = zip_longest(*of_architecture.values())
    return [thing for thing in chain.from_iterable(rows) if thing is not None]
