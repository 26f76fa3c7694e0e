"""From many updates to one new model: arithmetic alone, one update in memory at a time."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.policies import InvalidPolicyError, Update, call
from protocol.messages import ModelHeader, Report, decode, encode
from protocol.tensors import DTYPES, FLOATING, Array, Header, TensorSpec, dump, from_float32, load, to_float32


class NotFiniteModelError(ArithmeticError):
    """A new model would have values that its dtype can't hold."""


class WeightedSum:
    """A running sum of weighted updates: `accumulate` each, `merge` others, then take the `mean`.

    Sums are float64, so that the result doesn't depend on how updates are spread over sums beyond float64's rounding;
    in one sum, the order of accumulation fixes it to the bit. The design is that of a statistics object with
    accumulate and merge (Granqvist et al., pfl-research, 2024, section 3).
    """

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._weight = 0.0

    def accumulate(self, delta: Mapping[str, Array], weight: float) -> None:
        """Add one update with a positive weight."""
        for name, array in delta.items():
            weighted = np.multiply(array, weight, dtype=np.float64)
            if name in self._sums:
                self._sums[name] += weighted
            else:
                self._sums[name] = weighted
        self._weight += weight

    def merge(self, other: "WeightedSum") -> None:
        """Add what another sum has."""
        for name, array in other._sums.items():
            self._sums[name] = self._sums[name] + array if name in self._sums else array.copy()
        self._weight += other._weight

    def mean(self) -> dict[str, NDArray[np.float64]]:
        """The weighted mean, by tensor.

        Raises:
            ValueError: nothing was accumulated.
        """
        if not self._weight:
            raise ValueError("the mean of no updates")
        return {name: array / self._weight for name, array in self._sums.items()}


def weight_of(rule: Literal["mean", "weighted"], report: Report, age: int = 0) -> float:
    """What an update weighs: 1, or the number of its examples (McMahan et al., 2017, algorithm 1); divided by
    sqrt(age + 1) if it is late (Nguyen et al., FedBuff, 2022, section 5)."""
    return (1.0 if rule == "mean" else float(report.examples)) / math.sqrt(age + 1)


def read_update(thing: str, data: bytes, report: Report, age: int = 0) -> Update:
    """An inspected update as averaging and rules see it."""
    return Update(thing=thing, report=report, delta=load(data)[1], age=age)


def average(
    updates: Iterator[Update],
    rule: Literal["mean", "weighted", "own"],
    base: Mapping[str, Array],
    own: Callable[..., Any] | None = None,
) -> dict[str, Array]:
    """The change to make to the global model, by tensor, from updates in the order of their things' names.

    Raises:
        InvalidPolicyError: one's own rule failed, or returned other tensors than the model's, or ones not finite.
        What reading the updates raises comes through as it is.
    """
    if rule == "own":
        if own is None:
            raise InvalidPolicyError("averaging.rule is own, but no average was loaded")
        unread: list[Exception] = []
        try:
            return _checked(call(own, dict[str, Any], _noting(unread, updates), dict(base)), base)
        except InvalidPolicyError:
            if unread:  # no fault of the rule's
                raise unread[0] from None
            raise
    total = WeightedSum()
    for update in updates:
        total.accumulate(update.delta, weight_of(rule, update.report, update.age))
    return dict(total.mean())


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


def base_values(header: Header, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """A model's tensors as values that arithmetic can use: bfloat16 and float16 as float32."""
    return {
        tensor.name: to_float32(arrays[tensor.name], tensor.dtype)
        if tensor.dtype in ("BF16", "F16")
        else arrays[tensor.name]
        for tensor in header.tensors
    }


def apply(header: Header, base: Mapping[str, Array], change: Mapping[str, Array]) -> dict[str, Array]:
    """The new model's tensors, in the model's own dtypes. Sums are float64; integers and booleans are rounded to
    nearest, ties to even, and kept in range. `base` is what `base_values` gave.

    Raises:
        NotFiniteModelError: a sum is larger than its tensor's dtype can hold; the text names the tensor.
    """
    model: dict[str, Array] = {}
    for tensor in header.tensors:
        value = base[tensor.name] + np.asarray(change[tensor.name], np.float64)
        if tensor.dtype in FLOATING:
            model[tensor.name] = _in_dtype(tensor, value)
        elif tensor.dtype == "BOOL":
            model[tensor.name] = np.greater(value, 0.5)
        else:
            limits = np.iinfo(DTYPES[tensor.dtype].name)
            wide = _saturating_sum(base[tensor.name].astype(np.int64), np.asarray(change[tensor.name], np.float64))
            model[tensor.name] = np.clip(wide, limits.min, limits.max).astype(base[tensor.name].dtype)
    return model


def _in_dtype(tensor: TensorSpec, values: Array) -> Array:
    if tensor.dtype == "F64":
        stored = held = values
    else:
        with np.errstate(over="ignore"):
            stored = from_float32(values.astype(np.float32), tensor.dtype)
        held = to_float32(stored, tensor.dtype)
    if not np.isfinite(held).all():
        raise NotFiniteModelError(f"tensor {tensor.name!r} has values that {tensor.dtype} can't hold")
    return stored


def _saturating_sum(values: NDArray[np.int64], change: NDArray[np.float64]) -> NDArray[np.int64]:
    limits = np.iinfo(np.int64)
    by = np.rint(np.clip(change, -(2.0**62), 2.0**62)).astype(np.int64)
    by = np.clip(by, limits.min - np.minimum(values, 0), limits.max - np.maximum(values, 0))
    total: NDArray[np.int64] = values + by
    return total


def new_model(header: Header, model: Mapping[str, Array], round_number: int) -> bytes:
    """The new model's file: the layout of the one that `header` describes, and its header with the new round."""
    about = msgspec.structs.replace(decode(header.message, ModelHeader), round=round_number)
    dtypes = {tensor.name: tensor.dtype for tensor in header.tensors}
    return dump(model, dtypes, encode(about), about.buffers)


def mean_metrics(reports: Iterable[Report]) -> dict[str, float]:
    """The clients' own metrics, averaged by their examples: `before` of the global model, `after` of the local ones.

    A metric that only some clients report is averaged over these; one whose sum is too large for a float is left out.
    """
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    for report in reports:
        for when, metrics in (("before", report.before), ("after", report.after)):
            for name, value in metrics.items():
                key = f"{name}_{when}"
                sums[key] = sums.get(key, 0.0) + value * report.examples
                weights[key] = weights.get(key, 0.0) + report.examples
    return {key: sums[key] / weights[key] for key in sums if math.isfinite(sums[key])}
