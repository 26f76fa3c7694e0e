"""Steps of something that an operator does, each of which stands on its own."""

from collections.abc import Callable
from typing import Literal

import msgspec
from botocore.exceptions import ClientError

Outcome = Literal["done", "already so", "to do", "remains"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step, and what came of it. If it `remains`, `note` says why, and how to take it by hand."""

    what: str
    outcome: Outcome
    note: str = ""


class Steps:
    """Takes steps; in a `rehearsal` says only that they are to be taken."""

    def __init__(self, *, rehearsal: bool) -> None:
        self.rehearsal = rehearsal

    def take(self, what: str, is_so: bool, act: Callable[[], object], by_hand: str) -> Step:
        """One step, unless it `is_so` already. What AWS refuses remains, to be done `by_hand`."""
        if is_so:
            return Step(what=what, outcome="already so")
        if self.rehearsal:
            return Step(what=what, outcome="to do")
        try:
            act()
        except ClientError as error:
            return remains(what, error, by_hand)
        return Step(what=what, outcome="done")


def remains(what: str, error: Exception, by_hand: str) -> Step:
    """A step that AWS has refused, or that could not be taken for another reason."""
    return Step(what=what, outcome="remains", note=f"{error}: {by_hand}")
