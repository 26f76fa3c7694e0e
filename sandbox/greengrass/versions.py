"""Versions of components, and the requirements that recipes and deployments have of them."""

import functools
import re

from operations.fleets.versions import order

_PARTIAL = re.compile(r"(\d+|[xX*])(?:\.(\d+|[xX*])(?:\.(\d+|[xX*])(-[0-9A-Za-z.-]+)?)?)?")
_COMPARISON = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*([0-9A-Za-z.*+-]+)")


class VersionError(ValueError):
    """It is no version, or no requirement of one."""


@functools.total_ordering
class Version:
    """A semantic version, in the order of semver.org: a pre-release comes before its release."""

    def __init__(self, text: str) -> None:
        """
        Raises:
            VersionError: it is none.
        """
        try:
            self._order = order(text)
        except ValueError as error:
            raise VersionError(str(error)) from error
        self.text = text

    @property
    def is_pre_release(self) -> bool:
        """Whether it comes before the release of its numbers."""
        return "-" in self.text.partition("+")[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._order == other._order

    def __lt__(self, other: "Version") -> bool:
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)


class Requirement:
    """What a version has to be, as npm writes it: `>=1.0.0 <2.0.0`, `^1.2.0`, `~1.2`, `1.x`, `1.2.3`, and `||`."""

    def __init__(self, text: str) -> None:
        """
        Raises:
            VersionError: it is none.
        """
        self.text = text
        self._choices = [_comparisons(choice, text) for choice in text.split("||")]

    def __contains__(self, version: str) -> bool:
        given = Version(version)
        return any(
            all(low <= given and (high is None or given < high) for low, high in choice) for choice in self._choices
        )


_Range = tuple[Version, Version | None]
"""From the first, to before the second."""


def _comparisons(choice: str, text: str) -> list[_Range]:
    choice = choice.strip()
    ranges: list[_Range] = []
    position = 0
    while position < len(choice):
        match = _COMPARISON.match(choice, position)
        if match is None:
            raise VersionError(f"{text!r} is no requirement of a version, such as '>=1.0.0 <2.0.0'")
        ranges.append(_range(match[1] or "=", match[2], text))
        position = match.end()
        while position < len(choice) and choice[position] in " ,":
            position += 1
    return ranges


def _range(operator: str, version: str, text: str) -> _Range:
    match = _PARTIAL.fullmatch(version.partition("+")[0])
    if match is None:
        raise VersionError(f"{text!r} is no requirement of a version, such as '>=1.0.0 <2.0.0'")
    known = [int(part) for part in match.groups()[:3] if part is not None and part.isdigit()]
    low = Version(".".join(map(str, [*known, 0, 0, 0][:3])) + (match[4] or ""))
    if operator == ">=" or not known:
        return low, None
    if operator == "<":
        return Version("0.0.0-0"), low
    if operator == ">":
        return _after(known, len(known) - 1, low), None
    if operator == "<=":
        return Version("0.0.0-0"), _after(known, len(known) - 1, low)
    if operator == "^":
        fixed = next((index for index, number in enumerate(known) if number), len(known) - 1)
        return low, _bumped(known, fixed)
    if operator == "~":
        return low, _bumped(known, min(1, len(known) - 1))
    return low, _after(known, len(known) - 1, low)


def _after(known: list[int], place: int, low: Version) -> Version:
    """The first version that is past these numbers: for whole versions, the very next one."""
    if len(known) < 3:
        return _bumped(known, place)
    return Version(f"{low.text}.0") if low.is_pre_release else Version(f"{known[0]}.{known[1]}.{known[2] + 1}-0")


def _bumped(known: list[int], place: int) -> Version:
    return Version(".".join(map(str, [*known[:place], known[place] + 1, 0, 0][:3])) + "-0")
