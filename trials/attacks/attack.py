"""What an attack is: pure values, and how a function becomes one."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from trials.attacks.target import Target


class UnexplainedError(Exception):
    """What came of an attack is neither success nor a refusal for the reason that it should be refused for."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether what was tried was allowed, counted or changed anything; and how that is known."""

    accepted: bool
    because: str


def refused(because: str) -> Verdict:
    """It was not allowed, and changed nothing."""
    return Verdict(False, because)


def accepted(because: str) -> Verdict:
    """It was allowed."""
    return Verdict(True, because)


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on an attack of several tries, up to the first that is accepted; or what refused them."""
    reasons = set()
    for verdict in verdicts:
        if verdict.accepted:
            return verdict
        reasons.add(verdict.because)
    return refused("; ".join(sorted(reasons)))


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """The rounds that an attack disturbs. The honest members' updates add `values` to each number of the model; that of
    the member which attacks adds `joins` in the rounds without the attack, if it counts. `report_changes` are
    fields of its report then, and `counter` is what it adds to integers. If the federation is `grouped`, all are in its
    thing group."""

    name: str
    settings: Mapping[str, Any] = {}
    values: tuple[float, ...] = (1.0, 2.0, 6.5)
    joins: float | None = None
    report_changes: Mapping[str, Any] = {}
    counter: int | None = None
    grouped: bool = False

    @property
    def target(self) -> int:
        """How many updates end a round."""
        return len(self.values) + (self.joins is not None)


ALONE = Scene(name="honest members alone")
BESIDE = Scene(name="beside an honest update of its own", joins=3.0)


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to try, and what has to stop it. `documented` is there if nothing does: the sentence of
    docs/security.md, "What is not protected", that says so."""

    name: str
    tries: str
    control: str
    attempt: "Callable[[Target], Verdict]"
    scene: Scene
    documented: str | None


def attack(
    control: str, scene: Scene = ALONE, documented: str | None = None
) -> "Callable[[Callable[[Target], Verdict]], Attack]":
    """Make an attack of a function: its name is the attack's, its docstring says what it tries."""

    def made(attempt: "Callable[[Target], Verdict]") -> Attack:
        return Attack(
            name=attempt.__name__.replace("_", "-"),
            tries=" ".join((attempt.__doc__ or "").split()),
            control=control,
            attempt=attempt,
            scene=scene,
            documented=documented,
        )

    return made
