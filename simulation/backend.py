"""What computes clients' updates, whatever way it does so: the same work gives the same bits in each, but for the
vectorized one."""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import msgspec

from protocol.messages import Assignment, Timings


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One client's part in a round. `timings` are what its report says; `residual` is what a lossy encoding left out of
    its last update, in float32."""

    thing: str
    timings: Timings
    residual: bytes = b""


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """A client's update, or its evaluation: the file that a device would upload, and the residual of a lossy
    encoding."""

    thing: str
    update: bytes
    residual: bytes = b""


class NotDone(msgspec.Struct, frozen=True, kw_only=True, tag="not-done"):
    """A client of which no update comes, for the reason that a device would report."""

    thing: str
    phase: Literal["failed", "declined"]
    reason: str


class Backend(Protocol):
    """Computes updates of the clients of one simulation."""

    @property
    def at_once(self) -> int:
        """How many clients' work it is worth to give it together."""
        ...

    def examples(self, things: Sequence[str]) -> dict[str, int | NotDone]:
        """How many training examples each of these has: their data is loaded, unless it is already."""
        ...

    def compute(
        self, assignment: Assignment, model: bytes, average: bytes, work: Sequence[Work]
    ) -> Iterator[Done | NotDone]:
        """What becomes of each client's work for an assignment, to train or to evaluate, in any order. `model` is the
        file that the assignment refers to, `average` that of the moving average that is to be evaluated, empty if none
        is."""
        ...

    def close(self) -> None:
        """Ends what it has started."""
        ...
