"""What a selection policy is, and what it chooses among."""

import random
from collections.abc import Callable, Sequence

import msgspec

from cloud.settings import Averaging
from cloud.state.records import ClientRecord


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """The clients that a policy chooses among, one at least; `cohort` is how many are wanted, those included that are
    expected to drop out. The `generator` of random numbers is the same for the same seed and round. `averaging` says
    what their updates will count for. `choose_clients` is the user's function, if the settings ask for it."""

    clients: Sequence[ClientRecord]
    cohort: int
    round_number: int
    generator: random.Random
    averaging: Averaging = Averaging()
    choose_clients: Callable[..., object] | None = None


class SelectionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a round selects. `settings`: the options of selection that only some policies use, this one among them.
    `pool` is how many clients of a large fleet it chooses a cohort of this size among. `inclusions` has the probability
    with which it chooses each of the candidates, in their order: updates are weighed by its inverse, and not at all
    without it, or if all are 1."""

    choose: Callable[[Candidates], Sequence[ClientRecord]]
    pool: Callable[[int], int]
    settings: frozenset[str] = frozenset()
    inclusions: Callable[[Candidates], Sequence[float]] | None = None


WHOLE_FLEET = 4_000
"""A fleet of no more clients is small: policies choose among all of it. Those that compare clients choose among so
many of a large one."""


def compared(_cohort: int) -> int:
    """The pool of a policy that compares clients."""
    return WHOLE_FLEET


OF_A_COHORT = frozenset({"cohort", "dropout"})
"""What the policies heed that select a number of clients."""


def by_turnaround(client: ClientRecord) -> tuple[float, str]:
    """The order from fast to slow. Clients that were never measured come first, so that they get measured."""
    return (client.turnaround_s if client.turnaround_s is not None else 0.0, client.thing)
