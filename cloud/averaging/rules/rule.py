"""What an averaging rule is, what it may see of a round's updates, and what it makes of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.averaging.blocks import Block
from cloud.averaging.sums import GroupSums, StoredSums
from cloud.averaging.update_rows import Updates
from cloud.averaging.weights import Weighing
from cloud.settings import Averaging
from fedgrass.policies import Update
from protocol.tensors import Array

Numbers = NDArray[np.float64]


class BlockChange(NamedTuple):
    """Of a block's parameters, and of its values (`cloud.averaging.rebasing`): float64 [n_parameters] and [n_values].
    `last` is that of the sum of all clients' last updates, if the round has one."""

    parameters: Numbers
    values: Numbers
    last: Numbers | None = None


Sees = Literal["sums", "coordinates", "updates"]
"""What a rule sees at a time: weighted sums of clients, which can be added up by groups of them; the numbers of all
clients at some coordinates; or whole updates, which can't be sharded."""


class ModelChange(Protocol):
    """Gives the change of each of the blocks that it was made for, in their order."""

    def next(self, block: Block) -> BlockChange:
        """The change of the next block."""


class RoundUpdates(Protocol):
    """A round's updates, as far as some blocks of the model go. A rule asks for what it sees, and nothing else is
    read."""

    @property
    def settings(self) -> Averaging:
        """The round's."""

    @property
    def weighing(self) -> Weighing:
        """How the updates count."""

    @property
    def blocks(self) -> Sequence[Block]:
        """Those whose change is asked for."""

    @property
    def selected(self) -> Sequence[int]:
        """The clients that the rule has selected; all of them, if it selects none."""

    def of(self, blocks: Sequence[Block], clients: Sequence[int]) -> Updates:
        """What some clients have at some blocks."""

    def sums(self) -> GroupSums | StoredSums:
        """The weighted sums of all clients at the blocks."""

    def whole(self) -> Iterator[Update]:
        """The updates as a user's function sees them, in the order of their things' names."""

    def base(self) -> Mapping[str, Array]:
        """The present model's values, by tensor."""

    def custom_average(self) -> Callable[..., Any]:
        """The user's `average`.

        Raises:
            InvalidPolicyError: it can't be loaded.
        """


class Least(msgspec.Struct, frozen=True):
    """Of how many updates a rule can make a model at least; `why`, and which of averaging's settings asks for it."""

    updates: Callable[[Averaging], int]
    setting: str
    why: str


_ANY_NUMBER = Least(lambda _: 1, "rule", "update")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """An averaging rule.

    `is_robust`: it tolerates some clients that send anything, and ignores the examples and steps that they claim.
    `counts_examples`: a client weighs as many as it has. `settings`: the options of averaging that only some rules use,
    this one among them. `select` picks clients by the squared distances between all updates, float64 [clients,
    clients], before `change` averages.
    """

    sees: Sees
    change: Callable[[RoundUpdates], ModelChange]
    is_robust: bool = False
    counts_examples: bool = False
    settings: frozenset[str] = frozenset()
    least: Least = _ANY_NUMBER
    select: Callable[[Numbers, Averaging], list[int]] | None = None
