"""Attacks by the numbers of an update, and by what its report claims of them."""

from typing import Any

import numpy as np

from protocol.messages import MAX_INTEGER
from trials.attacks.attack import Scene, Verdict, accepted, attack, refused
from trials.attacks.example_updates import changed, layout_of, update_of, update_with, with_report
from trials.attacks.target import Target

_LIE = "A client can lie"

INT8 = Scene(name="int8", settings={"encoding": "int8"})
COPIES = Scene(name="copies in bfloat16", settings={"download": "bfloat16"})
MEDIAN = Scene(
    name="median",
    settings={"averaging": {"rule": "median"}},
    values=(1.0, 2.0, 2.0, 6.5),
    joins=2.0,
)
TRIMMED = Scene(
    name="trimmed mean",
    settings={"averaging": {"rule": "trimmed_mean", "trim": 0.2, "normalize_steps": True, "clip_norm": 1e6}},
    values=(2.0, 2.0, 2.0, 2.0),
    joins=2.0,
)
KRUM = Scene(
    name="multi-Krum",
    settings={"averaging": {"rule": "multi_krum", "byzantine": 1, "normalize_steps": True}},
    values=(2.0, 2.0, 2.0, 2.0),
    joins=2.0,
)
CLIPPED = Scene(
    name="clipped mean",
    settings={"averaging": {"rule": "mean", "clip_norm": 4.0}},
    values=(1.0, 1.0, 1.0),
    joins=8.0,
    counter=1,
)
MOST_EXAMPLES = Scene(name="ten times the examples of the median client", joins=3.0, report_changes={"examples": 110})
COUNTERS = Scene(
    name="ten times the count of the median client",
    settings={"averaging": {"rule": "mean"}},
    joins=3.0,
    counter=20,
)
STEPS = Scene(
    name="normalized steps",
    settings={"averaging": {"rule": "weighted", "normalize_steps": True}},
    joins=3.0,
)
BESIDE_METRICS = Scene(name="beside an honest update of its own, and metrics", joins=3.0)


def _floats(*values: float) -> Any:
    numbers = np.full(7, 1.0, "<f4")
    numbers[: len(values)] = values
    return numbers


@attack("numbers have to be finite once decoded")
def send_what_is_not_finite(target: Target) -> Verdict:
    """Send NaN, a NaN with a payload, or infinities, in one number of the update."""
    report = target.report()
    odd = np.array([0x7FA00001], "<u4").view("<f4")[0]
    values = (float("nan"), float("inf"), float("-inf"), odd)
    bodies = [update_with(report, _floats(value)) for value in values]
    last = _floats(*([1.0] * 6), float("nan"))
    return target.refuses_all([*bodies, update_with(report, last)], "non-finite")


@attack("no number is changed by more than 2^60", COPIES)
def overflow_the_model(target: Target) -> Verdict:
    """Send finite numbers so large that the model, or its bfloat16 copy, overflows, and the round with it."""
    report = target.report()
    bodies = [update_with(report, _floats(value)) for value in (3.4e38, -3.4e38, 2.0**61, 1e30)]
    return target.refuses_all(bodies, "out of range")


@attack("no integer is changed by more than its type has room for")
def overflow_integers(target: Target) -> Verdict:
    """Change a counter by 2^63 - 1, -2^63, or a little over half of that."""
    report = target.report()
    bodies = [update_of(report, 1.0, counter) for counter in (2**63 - 1, -(2**63), 2**62 + 1, -(2**62) - 1)]
    return target.refuses_all(bodies, "out of range")


@attack("scales of int8 have to be finite, and not negative", INT8)
def send_other_scales(target: Target) -> Verdict:
    """Send int8 whose scale is negative, infinite, not a number, or so large that the numbers overflow."""
    layout = layout_of("int8")
    good = bytearray(update_of(target.report(), 1.0, encoding="int8"))
    place = len(good) - layout.data_bytes + layout.scales_start
    bodies = []
    for scale in (-1.0, float("inf"), float("nan"), 3.0e38):
        good[place : place + 4] = np.array(scale, "<f4").tobytes()
        bodies.append(bytes(good))
    return target.refuses_all(bodies, "wrong scales", "non-finite", "out of range")


@attack("a report's numbers are in range, of their type, and finite")
def claim_the_impossible(target: Target) -> Verdict:
    """Claim examples and steps that are no numbers, none, negative, over 2^53, or not finite."""
    report = target.report()
    wrong: list[Any] = ["1000", 0, -5, MAX_INTEGER + 1, 2**63, 2**64, 1.5, None, [], True]
    reports = [changed(report, **{field: value}) for field in ("examples", "steps") for value in wrong]
    good = changed(report)
    spelled = [good.replace(b'"examples":10', b'"examples":%b' % text) for text in (b"1e400", b"NaN", b"Infinity")]
    return target.refuses_all([with_report(each) for each in (*reports, *spelled)], "malformed")


@attack("no client counts for more than ten times the examples of the median one", MOST_EXAMPLES, documented=_LIE)
def claim_all_examples(target: Target) -> Verdict:
    """Claim 2^53 examples, to be the only one that counts under `weighted`: it counts for ten times the median."""
    target.uploads(update_of(target.report(examples=MAX_INTEGER), 3.0))
    target.counted()
    return accepted("counted, with the weight of ten times the median's examples")


@attack("no steps are more than the settings ask for", STEPS)
def claim_all_steps(target: Target) -> Verdict:
    """Claim 2^53 steps with `normalize_steps`, so that the others are scaled up until the model is destroyed."""
    target.uploads(update_of(target.report(steps=MAX_INTEGER), 3.0))
    target.counted()
    return refused("counted, with the steps that the settings ask for")


@attack("robust rules take no one's word", TRIMMED)
def claim_all_to_a_trimmed_mean(target: Target) -> Verdict:
    """Claim 2^53 examples and steps under `trimmed_mean` with `normalize_steps` and `clip_norm`."""
    target.uploads(update_of(target.report(steps=MAX_INTEGER, examples=MAX_INTEGER), 2.0))
    target.counted()
    return refused("counted as any other")


@attack("the median takes no one's word, and no extreme", MEDIAN, documented=_LIE)
def send_extremes_to_a_median(target: Target) -> Verdict:
    """Send the largest numbers that count, of both signs, under `median`."""
    floats = _floats(2.0**60, 2.0**60, -(2.0**60), 1e15, 6.6, 2.1, 3.0)
    floats[2] = 2.0**60
    target.uploads(update_with(target.report(examples=MAX_INTEGER, steps=MAX_INTEGER), floats, 2**62))
    target.counted()
    return accepted("counted; the others' median stands")


@attack("a trimmed mean leaves out an end of at least one", TRIMMED, documented=_LIE)
def send_extremes_to_a_trimmed_mean(target: Target) -> Verdict:
    """Send the largest numbers that count under `trimmed_mean`, with five clients."""
    target.uploads(update_of(target.report(), -(2.0**60), -(2**62)))
    target.counted()
    return accepted("counted; what it sent is trimmed")


@attack("Krum leaves out what is far from the others", KRUM, documented=_LIE)
def send_extremes_to_krum(target: Target) -> Verdict:
    """Send what was learned the other way, ten times as far, under `multi_krum`."""
    target.uploads(update_of(target.report(), -20.0, -20))
    target.counted()
    return accepted("counted; Krum chooses others")


@attack("clipping comes last, and bounds what one client changes", CLIPPED, documented=_LIE)
def replace_the_model(target: Target) -> Verdict:
    """Send an update 2^40 times as large as an honest one, under a mean with `clip_norm`: it counts for that norm."""
    claims = {"examples": MAX_INTEGER, "steps": MAX_INTEGER}
    target.uploads(update_of(target.report(**claims), 8.0 * 2**40, 1))
    target.counted()
    return accepted("counted, clipped to the norm that the settings allow")


@attack("in a mean a counter grows by ten times what the median client's did at most", COUNTERS, documented=_LIE)
def outdo_counters(target: Target) -> Verdict:
    """Change a counter by 2^62 under a mean: it counts for ten times the median client's change."""
    target.uploads(update_of(target.report(), 3.0, 2**62))
    target.counted()
    return accepted("counted, for ten times the median client's change")


@attack("nothing: metrics are a client's word, averaged under a mean", BESIDE_METRICS, documented=_LIE)
def claim_metrics_under_a_mean(target: Target) -> Verdict:
    """Report a loss of 1e308, so that the published mean is its own."""
    target.uploads(update_of(target.report(after={"loss": 1e308}, before={"loss": -1e308}), 3.0))
    target.counted()
    target.answer()
    loss = (target.ended(1).metrics or {}).get("loss_after", 0.0)
    return accepted(f"the round says that the loss is {loss:.3g}") if loss > 1 else refused(f"the loss is {loss}")


@attack("under a robust rule metrics are medians", MEDIAN)
def claim_metrics_under_a_median(target: Target) -> Verdict:
    """Report a loss of 1e308 under a robust rule."""
    target.uploads(update_of(target.report(after={"loss": 1e308}), 2.0))
    target.counted()
    target.answer()
    loss = (target.ended(1).metrics or {}).get("loss_after", 0.0)
    return accepted(f"the round says that the loss is {loss:.3g}") if loss > 1 else refused(f"the loss is {loss}")


@attack("a round records 40 metrics, with names of 64 characters", BESIDE_METRICS)
def flood_the_metrics(target: Target) -> Verdict:
    """Report a thousand metrics of its own, to push the others' out and the round's record over its limit."""
    many = {f"m{number}": 1.0 for number in range(1000)} | {"x" * 1000: 1.0}
    target.uploads(update_of(target.report(after=many | {"loss": 0.5}), 3.0))
    target.counted()
    target.answer()
    metrics = target.ended(1).metrics or {}
    kept = f"{len(metrics)} metrics are kept"
    return refused(kept) if len(metrics) <= 40 and "loss_after" in metrics else accepted(kept)


@attack("a step is of float32, in which it is nothing", MEDIAN, documented=_LIE)
def send_denormals(target: Target) -> Verdict:
    """Send denormal numbers, which slow arithmetic down and lose their digits in it."""
    floats = _floats(*[1e-45] * 7)
    floats[:] = 2.0 + floats
    floats[0] = 2.0
    target.uploads(update_with(target.report(), floats, 2))
    target.counted()
    return accepted("counted")
