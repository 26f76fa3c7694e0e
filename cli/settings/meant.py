"""What someone may have meant who wrote something else: names and values that are near, or that others use."""

import difflib
import re
from collections.abc import Iterable

_NEAR = 0.7
"""How alike two words are, from 0 to 1, for one to have been meant by the other."""

_ELSEWHERE = {
    "aggregation": "averaging.rule",
    "client_fraction": "selection.cohort",
    "clients": "selection.cohort",
    "clients_per_round": "selection.cohort",
    "fraction_fit": "selection.cohort",
    "group": "thing_group",
    "min_clients": "selection.minimum",
    "mu": "training.proximal",
    "fedlc": "training.logit_calibration",
    "server_optimizer": "averaging.optimizer",
    "strategy": "averaging.rule",
    "timeout": "deadline_s",
}
"""What other programs call a setting."""

_VALUES = {
    "average": "mean",
    "avg": "mean",
    "bf16": "bfloat16",
    "fedavg": "weighted",
    "float16": "bfloat16",
    "fp16": "bfloat16",
    "fp32": "float32",
    "half": "bfloat16",
}
_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(s|sec|m|min|h)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) *(?:percent|per ?cent|pct)")
_FRACTION = re.compile(r"(\d+) ?/ ?([1-9]\d*)")
_DECIMAL_COMMA = re.compile(r"(\d+),(\d+)")


def near(word: str, known: Iterable[str]) -> str | None:
    """The known name that is meant by a word: one much like it, its initials, or one that it has in it."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower().replace("-", "_").replace(" ", "_")
    names = list(known)
    parts = set(plain.split("_"))
    matches = [
        *difflib.get_close_matches(plain, names, n=1, cutoff=_NEAR),
        *(name for name in names if plain == "".join(part[0] for part in name.split("_"))),
        *(name for name in names if name in parts),
    ]
    return next(iter(matches), None)


def elsewhere(name: str) -> str | None:
    """The setting that other programs call so."""
    return _ELSEWHERE.get(name.lower().replace("-", "_"))


def value(word: str, known: Iterable[str]) -> str | None:
    """The known value that is meant by a word."""
    names = list(known)
    other = _VALUES.get(word.lower())
    return near(word, names) or (other if other in names else None)


def number(text: str) -> float | None:
    """The number that is meant by a text: with a decimal comma, as a fraction, or with a unit of time."""
    if found := _DECIMAL_COMMA.fullmatch(text):
        return float(f"{found[1]}.{found[2]}")
    if found := _FRACTION.fullmatch(text):
        return int(found[1]) / int(found[2])
    if found := _DURATION.fullmatch(text.lower()):
        return float(found[1]) * _UNITS[found[2]]
    return None


def share(text: str) -> float | None:
    """The percentage that is meant by a text, if it can be one."""
    found = _PERCENT.fullmatch(text.lower())
    return float(found[1]) if found and float(found[1]) <= 100 else None


def name(text: str) -> str | None:
    """A name of a-z, 0-9 and '-' like this one, if there is one."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    return plain or None
