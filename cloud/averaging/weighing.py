"""How much each update counts: pure functions of the settings and of what was recorded of the updates."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

from cloud.averaging.accepted_updates import AcceptedUpdate
from cloud.averaging.robust import clipping_factors
from cloud.averaging.rules import rule_of
from cloud.averaging.weights import Weighing
from cloud.settings import Averaging
from protocol.local_steps import count_steps
from protocol.messages import Training

EXAMPLES_RATIO = 10
"""A client counts for so many times the examples of the median one at most, if the settings don't say otherwise."""

INTEGER_RATIO = 10
"""In a mean a client's counter grows by no more than so many times the largest change of the median client."""

STEPS_RATIO = 10.0
"""`normalize_steps` scales no update up or down by more than this factor."""


def weigh(settings: Averaging, training: Training, sources: Sequence[AcceptedUpdate]) -> Weighing:
    """How the updates of a round count.

    A weight is 1, or the number of examples (McMahan et al., 2017, algorithm 1) as `counted_examples` has it, divided
    by sqrt(age + 1) if the update is late (Nguyen et al., FedBuff, 2022, section 5), and by the probability with which
    its client was selected: so the mean of a cohort is that of all clients whom it was selected from (Hájek, 1971), but
    for what a cohort of that size can't tell. Robust rules take no weights. What is late so counts for less
    beside what is not; but the step that all take together is no smaller, where FedBuff's algorithm 1 divides the
    weighted sum by the number of updates.

    If `normalize_steps` says so, parameters are scaled by tau_eff / tau_i, where tau_i are the steps that a client took
    (Wang et al., FedNova, 2020, eq. 8). Steps are a client's own word: none are more than the training's settings ask
    for, tau_eff is their median where FedNova takes the mean, and a scale is at most STEPS_RATIO, and at least its
    inverse. Robust rules do without. With a `clip_norm`, what has been scaled so is scaled by min(1, clip_norm / norm):
    at last, so that nothing undoes it.

    Buffers and integers are values, not steps: nothing scales them. They don't count if it can't be known any more
    which values they are. An integer's change is bounded, for one client's of 2^62 would outdo all others.
    """
    rule = rule_of(settings.rule)
    counts = counts_of(settings, [source.report.examples for source in sources])
    weights = np.array(counts, np.float64) / np.sqrt([source.age + 1.0 for source in sources])
    if not rule.is_robust:
        weights = weights / [source.inclusion for source in sources]
    value_weights = np.where([source.base is None for source in sources], 0.0, weights)
    scales = np.ones(len(sources))
    norms = np.array([source.norm for source in sources])
    if settings.normalize_steps and not rule.is_robust:
        asked_for = (count_steps(training, source.report.examples) for source in sources)
        steps = np.array([min(s.report.steps, most) for s, most in zip(sources, asked_for, strict=True)], np.float64)
        scales = np.clip(np.median(steps) / steps, 1 / STEPS_RATIO, STEPS_RATIO)
    if settings.clip_norm is not None:
        scales = scales * clipping_factors(norms * scales, settings.clip_norm)
    return Weighing(weights, value_weights, scales, norms * scales, _integer_limit(sources))


def _integer_limit(sources: Sequence[AcceptedUpdate]) -> float:
    """INTEGER_RATIO times what the median client changed an integer by at most, of an even number the lower one of the
    middle two."""
    known = [source.integer_change for source in sources if source.integer_change is not None]
    return INTEGER_RATIO * statistics.median_low(known) if known else math.inf


def counts_of(settings: Averaging, examples: Sequence[int]) -> list[int]:
    """What clients with so many examples count for, beside each other, before anything is known of their updates."""
    return counted_examples(settings, examples) if rule_of(settings.rule).counts_examples else [1] * len(examples)


def counted_examples(settings: Averaging, examples: Sequence[int]) -> list[int]:
    """How many examples of each client count, of those that all of a round say that they have: `max_examples` at most,
    or without it EXAMPLES_RATIO times their median, of an even number the lower one of the middle two."""
    if not examples:
        return []
    most = settings.max_examples or EXAMPLES_RATIO * statistics.median_low(examples)
    return [min(count, most) for count in examples]
