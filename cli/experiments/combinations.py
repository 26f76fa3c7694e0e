"""What an experiment compares: combinations of settings, each under a name that is also that of its folder."""

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from cli.settings.problems import Path, Problem, shown

MAX_NAME = 120
MAX_COMBINATIONS = 10_000

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+%-]*")
_UNREADABLE = re.compile(r"[^A-Za-z0-9._+%-]+")


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a combination: of which key, and where in the file it stands."""

    key: str
    value: Any
    place: Path

    @property
    def path(self) -> Path:
        """The field, as federation.yaml has it."""
        return tuple(self.key.split("."))


class Combination(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that are compared with others."""

    name: str
    settings: tuple[Setting, ...]


def combinations_of(matrix: Any, cases: Any, common: Collection[str], found: list[Problem]) -> list[Combination]:
    """All of a matrix, the last key varying fastest, and the cases after them; what is wrong is told in `found`. Fields
    that are `common` to all are no keys."""
    before = len(found)
    _check_matrix(matrix, common, found)
    _check_cases(cases, common, found)
    if len(found) > before:
        return []
    combinations = [*_of_matrix(matrix or {}), *_of_cases(cases or {})]
    if not combinations:
        found.append(Problem((), "there is nothing to compare: give matrix or cases, such as cases: {as_it_is: {}}"))
    found.extend(_unclear(combinations))
    return combinations


def _check_matrix(matrix: Any, common: Collection[str], found: list[Problem]) -> None:
    if matrix is None:
        return
    if not isinstance(matrix, Mapping):
        example = "{training.learning_rate: [0.01, 0.1]}"
        found.append(
            Problem(("matrix",), f"{shown(matrix)}: use keys of federation.yaml with lists, such as {example}")
        )
        return
    count = 1
    for key, values in matrix.items():
        if not isinstance(values, list) or not values:
            found.append(Problem(("matrix", key), f"{shown(values)}: use a list of values, such as [1, 2]"))
            continue
        count *= len(values)
        _check_key(key, ("matrix", key), common, found)
        texts = [msgspec.json.encode(value, enc_hook=str) for value in values]
        found.extend(
            Problem(("matrix", key, str(number)), f"{shown(values[number])} is in the list twice: keep one of them")
            for number, text in enumerate(texts)
            if text in texts[:number]
        )
    if count > MAX_COMBINATIONS:
        found.append(Problem(("matrix",), f"makes {count:,} combinations: {MAX_COMBINATIONS:,} are the most"))


def _check_cases(cases: Any, common: Collection[str], found: list[Problem]) -> None:
    if cases is None:
        return
    if not isinstance(cases, Mapping):
        example = "{slow: {training.learning_rate: 0.01}}"
        found.append(Problem(("cases",), f"{shown(cases)}: use names with settings, such as {example}"))
        return
    for name, settings in cases.items():
        if not NAME.fullmatch(name) or len(name) > MAX_NAME:
            found.append(
                Problem(
                    ("cases", name),
                    f"a case's name is a folder's: use up to {MAX_NAME} letters, digits and . _ = , + % -",
                )
            )
        if not isinstance(settings, Mapping):
            found.append(Problem(("cases", name), f"{shown(settings)}: use keys with values; {{}} changes nothing"))
            continue
        for key in settings:
            _check_key(key, ("cases", name, key), common, found)


def _check_key(key: str, place: Path, common: Collection[str], found: list[Problem]) -> None:
    if key == "training.seed":
        found.append(Problem(place, "each run has its seed from seeds: leave this out"))
    elif key in common:
        found.append(Problem(place, f"{key} is the same for all that is compared: put it beside matrix and cases"))
    elif not all(key.split(".")):
        found.append(Problem(place, "this is no key: use one as federation.yaml has it, such as training.steps"))


def _of_matrix(matrix: Mapping[str, list[Any]]) -> Iterator[Combination]:
    if not matrix:
        return
    shortened = Counter(key.rpartition(".")[2] for key in matrix)
    short = {key: last if shortened[last := key.rpartition(".")[2]] == 1 else key for key in matrix}
    choices = [
        [Setting(key=key, value=value, place=("matrix", key, str(number))) for number, value in enumerate(values)]
        for key, values in matrix.items()
    ]
    for settings in itertools.product(*choices):
        name = ",".join(f"{short[setting.key]}={_label(setting.value)}" for setting in settings)
        yield Combination(name=name, settings=settings)


def _of_cases(cases: Mapping[str, Mapping[str, Any]]) -> Iterator[Combination]:
    for name, settings in cases.items():
        chosen = (Setting(key=key, value=value, place=("cases", name, key)) for key, value in settings.items())
        yield Combination(name=name, settings=tuple(chosen))


def _label(value: Any) -> str:
    """A value as it is in a name."""
    if isinstance(value, Mapping):
        parts = [_label(item) if key == "name" else f"{key}-{_label(item)}" for key, item in value.items()]
        return "+".join(parts) or "none"
    if isinstance(value, list):
        return "+".join(map(_label, value)) or "none"
    text = msgspec.json.encode(value, enc_hook=str).decode().strip('"') if not isinstance(value, str) else value
    return _UNREADABLE.sub("-", text).strip("-") or "empty"


def _unclear(combinations: Iterable[Combination]) -> Iterator[Problem]:
    """Names that can't be those of folders."""
    seen: set[str] = set()
    for combination in combinations:
        place = combination.settings[0].place[:2] if combination.settings else ("cases", combination.name)
        if len(combination.name) > MAX_NAME:
            shortened = f"{combination.name[:40]}..."
            yield Problem(place, f"{shortened} is too long for a folder's name: give this combination one in cases")
            return
        if combination.name in seen:
            yield Problem(place, f"two combinations would be called {combination.name}: give them names in cases")
        seen.add(combination.name)
