"""A custom averaging rule: the user's `average` in policies.py. It sees whole updates, one at a time."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from cloud.averaging.blocks import Block
from cloud.averaging.rules.rule import BlockChange, ModelChange, Numbers, RoundUpdates, Rule
from cloud.custom_policies import InvalidPolicyError, call
from fedgrass.policies import Update
from protocol.tensors import Array, Kind


class WholeChange:
    """A change that is there as a whole, by tensor."""

    def __init__(self, change: Mapping[str, Array]) -> None:
        self._change = {name: np.asarray(array, np.float64).reshape(-1) for name, array in change.items()}

    def next(self, block: Block) -> BlockChange:
        """The change at any block."""
        taken: dict[Kind, list[Numbers]] = {"parameter": [np.empty(0)], "buffer": [np.empty(0)], "integer": []}
        for piece in block.pieces:
            taken[piece.kind].append(self._change[piece.tensor.name][piece.start : piece.end])
        return BlockChange(np.concatenate(taken["parameter"]), np.concatenate(taken["buffer"] + taken["integer"]))


def custom_change(
    average: Callable[..., Any], updates: Iterator[Update], base: Mapping[str, Array]
) -> dict[str, Array]:
    """The change to make to the global model, by tensor, from updates in the order of their things' names.

    Raises:
        InvalidPolicyError: `average` failed, or returned other tensors than the model's, or ones not finite.
        What reading the updates raises comes through as it is.
    """
    unread: list[Exception] = []
    try:
        return _checked(call(average, dict[str, Any], _noting(unread, updates), dict(base)), base)
    except InvalidPolicyError:
        if unread:  # no fault of `average`
            raise unread[0] from None
        raise


def _noting(errors: list[Exception], updates: Iterator[Update]) -> Iterator[Update]:
    try:
        yield from updates
    except Exception as error:
        errors.append(error)
        raise


def _checked(change: dict[str, Any], base: Mapping[str, Array]) -> dict[str, Array]:
    try:
        arrays = {name: np.asarray(value) for name, value in change.items()}
    except ValueError as error:
        raise InvalidPolicyError(f"policies.py: average returned what is no array: {error}") from error
    if arrays.keys() != base.keys():
        raise InvalidPolicyError(
            f"policies.py: average must return every tensor of the model; missing or unknown: "
            f"{', '.join(sorted(arrays.keys() ^ base.keys()))}"
        )
    for name, array in arrays.items():
        if array.shape != base[name].shape or not np.issubdtype(array.dtype, np.number):
            raise InvalidPolicyError(
                f"policies.py: average returned {name!r} as {array.dtype} {list(array.shape)}; "
                f"the model has {list(base[name].shape)}"
            )
        if not np.isfinite(array).all():
            raise InvalidPolicyError(f"policies.py: average returned {name!r} with values that are not finite")
    return arrays


def _change(updates: RoundUpdates) -> ModelChange:
    return WholeChange(custom_change(updates.custom_average(), updates.whole(), updates.base()))


CUSTOM = Rule(sees="updates", change=_change)
