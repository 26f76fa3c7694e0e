"""What a check finds."""

from typing import Literal

import msgspec

State = Literal["ok", "wrong", "not checked"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a diagnosis: `check` is the name of the check, `about` what was looked at; `remedy` is the command
    that mends what is wrong, or shows more of it."""

    check: str
    about: str
    state: State
    text: str
    remedy: str = ""


class Observation(msgspec.Struct, frozen=True):
    """What a check itself says: the examination knows which check it is, and of what."""

    state: State
    text: str
    remedy: str = ""


class NotCheckedError(Exception):
    """A check has no answer, for a reason: what it looks at can't be asked, or there is none."""


def ok(text: str) -> Observation:
    """It is as it has to be."""
    return Observation("ok", text)


def wrong(text: str, remedy: str) -> Observation:
    """It is not, and what mends it."""
    return Observation("wrong", text, remedy)


def not_checked(text: str) -> Observation:
    """It can't be said, and why."""
    return Observation("not checked", text)
