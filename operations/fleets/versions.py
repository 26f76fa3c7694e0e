"""Versions of components, and the ranges of them that recipes ask for. See https://semver.org."""

import operator
import re
from collections.abc import Iterable

_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)
_COMPARATOR = re.compile(r"(>=|<=|>|<|=|)\s*([^\s<>=]+)")

Order = tuple[int, int, int, tuple[int, ...], tuple[tuple[int, int, str], ...]]

_HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq, "": operator.eq}


def order(version: str) -> Order:
    """What versions are ordered by: one with a pre-release, such as 1.0.0-rc.1, comes before the one without.

    Raises:
        ValueError: it is no semantic version.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is no semantic version, such as 1.2.3")
    parts = [] if match[4] is None else match[4].split(".")
    before = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)
    return int(match[1]), int(match[2]), int(match[3]), () if parts else (1,), before


def fits(version: str, requirement: str) -> bool:
    """Whether a version is in a range such as ">=0.1.0 <0.2.0". Of a range that is written in another way the nucleus
    is the judge: every version fits it."""
    comparators = _COMPARATOR.findall(requirement)
    if any(_VERSION.fullmatch(bound) is None for _, bound in comparators):
        return True
    return all(_HOLDS[sign](order(version), order(bound)) for sign, bound in comparators)


def latest(versions: Iterable[str], requirement: str = "") -> str | None:
    """The newest one in a range, None if there is none."""
    return max((version for version in versions if fits(version, requirement)), key=order, default=None)
