"""Whether a federation has trained its model, from what came of it."""

import math
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

import msgspec

from trials.shapes.catalogue import Shape
from trials.shapes.judge import Judged, Measured

LEAST_GAIN = 0.01
"""By this share the loss on data that no device has must have gone down."""

TOLERANCE = 1e-3
"""A device and the judge may differ by so much: they add up in another order."""


class RoundEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a round ended: how many updates it had asked for and got, and the reasons of devices that sent none, or whose
    update was refused, by thing."""

    round: int
    status: str
    reason: str | None
    asked: int
    accepted: int
    failures: dict[str, str]


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What a device said of the model that it was given in a round, before it trained."""

    round: int
    thing: str
    metrics: Measured


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a federation that has ended; or why `fedgrass init` has refused it; or what else kept it
    from its end. `buffers` are the tensors that its models say are none of their parameters."""

    refusal: str | None = None
    trouble: str | None = None
    rounds: list[RoundEnd] = []
    befores: list[Before] = []
    buffers: tuple[str, ...] = ()
    judged: Judged | None = None


def problems(shape: Shape, ended: Ended) -> Iterator[str]:
    """What is not as it has to be: nothing if the model was trained, or was refused in the shape's words if it can't
    be."""
    if ended.trouble is not None:
        yield ended.trouble
    elif shape.refused is not None:
        yield from _of_refusal(shape, ended)
    elif ended.refusal is not None:
        yield f"fedgrass init: {ended.refusal}"
    else:
        yield from _of_rounds(shape, ended.rounds)
        if ended.judged is not None:
            yield from _of_tensors(shape, ended.judged, ended.buffers)
            yield from _of_metrics(shape, ended.judged)
            yield from _of_starts(ended)


def _of_refusal(shape: Shape, ended: Ended) -> Iterator[str]:
    told = [] if ended.refusal is None else [ended.refusal]
    told += [reason for each in ended.rounds for reason in each.failures.values()]
    if not told:
        yield f"it was not refused with {shape.refused!r}"
    for each in ended.rounds:
        if each.status == "closed":
            yield f"round {each.round} closed, though it can't train"
    for text in dict.fromkeys(told):
        if str(shape.refused) not in " ".join(text.split()):
            yield f"it was refused without {shape.refused!r}: {text}"


def _of_rounds(shape: Shape, rounds: list[RoundEnd]) -> Iterator[str]:
    for each in rounds:
        if each.status != "closed":
            yield f"round {each.round} is {each.status}: {each.reason}"
        elif each.accepted < each.asked and not shape.late:
            yield f"round {each.round} has {each.accepted} of {each.asked} updates"
    reasons: dict[tuple[str, str], list[int]] = {}
    for each in rounds:
        for thing, reason in each.failures.items():
            reasons.setdefault((thing, reason), []).append(each.round)
    for (thing, reason), numbers in reasons.items():
        yield f"{thing} in round {', '.join(map(str, numbers))}: {reason}"


def _of_tensors(shape: Shape, judged: Judged, buffers: Collection[str]) -> Iterator[str]:
    for pattern in (*shape.trained, *shape.moves, *shape.stays, *shape.ends):
        if not any(fnmatchcase(tensor.name, pattern) for tensor in judged.tensors):
            yield f"there is no tensor {pattern!r}"
    for tensor in judged.tensors:
        stays = _matches(tensor.name, shape.stays)
        trained = _matches(tensor.name, shape.trained) or (tensor.kind == "trainable" and not stays)
        moves = trained or _matches(tensor.name, shape.moves)
        if moves and not tensor.changed:
            yield f"tensor {tensor.name!r} has not changed"
        if tensor.changed and (stays or (tensor.kind == "frozen" and not moves)):
            yield f"tensor {tensor.name!r} has changed, and is not trained"
        if trained and tensor.name in buffers:
            yield f"tensor {tensor.name!r} is trained, and is taken for a buffer"
        if not tensor.finite:
            yield f"tensor {tensor.name!r} is not finite any more"
        expected = shape.ends.get(tensor.name, tensor.lowest)
        if tensor.lowest != expected:
            yield f"tensor {tensor.name!r} is {_number(tensor.lowest)}, it has to be {expected:g}"
        if tensor.name.endswith("running_var") and (tensor.lowest or 0.0) < 0:
            yield f"a variance in {tensor.name!r} is {tensor.lowest:.3g}"


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _of_metrics(shape: Shape, judged: Judged) -> Iterator[str]:
    before, after = judged.start.get(shape.measure), judged.end.get(shape.measure)
    if before is None or after is None or after > before - LEAST_GAIN * abs(before):
        yield f"{shape.measure} on data that no device has went from {_number(before)} to {_number(after)}"
    accuracy = judged.end.get("accuracy", 0.0)
    if accuracy is None or not shape.accuracy <= accuracy <= 1:
        yield f"the accuracy is {_number(accuracy)}, it has to be {shape.accuracy:g} to 1"


def _of_starts(ended: Ended) -> Iterator[str]:
    """Devices began from the model that they were given if they measured what the judge measures of it."""
    assert ended.judged is not None  # noqa: S101
    if not ended.befores:
        yield "no device has told the metrics of the model that it was given"
    for told in ended.befores:
        expected = ended.judged.given[told.round][told.thing]
        if not _agree(told.metrics, expected):
            yield (
                f"{told.thing} did not begin round {told.round} with the model that it was given: it measured "
                f"{_text(told.metrics)}, the model has {_text(expected)}"
            )


def _agree(told: Measured, expected: Measured) -> bool:
    return told.keys() == expected.keys() and all(_close(told[name], value) for name, value in expected.items())


def _close(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE / 10)


def _text(metrics: Measured) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in sorted(metrics.items())) or "nothing"


def _number(value: float | None) -> str:
    return "no number" if value is None else f"{value:.5g}"
