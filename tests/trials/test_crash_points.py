"""Rounds whose functions are killed at some of their AWS calls; `python -m trials.crash_points` takes every one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.sandbox import Sandbox
from trials.crash_points import CrashPoints, Point
from trials.crashes.scenarios import MIN_CLIENTS, scenarios

_SAMPLE = 24


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as started:
        yield started


def test_a_round_ends_as_if_nothing_had_happened_wherever_a_function_is_killed(sandbox: Sandbox) -> None:
    with CrashPoints(sandbox, scenarios(MIN_CLIENTS)) as harness:
        points = harness.points()
        assert len(points) >= 300
        assert {point.step.function for point in points} == {"fedgrass-initiator", "fedgrass-averager"}
        sample = points[:: len(points) // _SAMPLE]
        assert {point.kill.moment for point in sample} == {"before", "after"}
        verdict = harness.try_all(sample)
    assert verdict.points >= _SAMPLE
    assert verdict.failed == {}


def test_the_harness_finds_what_a_crash_would_break(sandbox: Sandbox) -> None:
    one_by_one, *_, aborted = scenarios(MIN_CLIENTS)
    with CrashPoints(sandbox, [one_by_one, aborted], Path(__file__).with_name("faulty_functions.py")) as harness:
        points = harness.points()
        counted = _last(points, aborted.name, "updates/00000001/client-000", "dynamodb.TransactWriteItems")
        closed = _last(points, one_by_one.name, "updates/00000001/client-003", "dynamodb.TransactWriteItems")
        verdict = harness.try_all([counted, closed])
    assert "updates counted: 2 instead of 1" in verdict.failed[str(counted)]
    assert "the next round is: None instead of 'open'" in verdict.failed[str(closed)]


def _last(points: list[Point], scenario: str, about: str, operation: str) -> Point:
    """The point after the last call of this operation in an invocation, with one kill."""
    wanted = (scenario, about, operation, "after", None)
    return [p for p in points if (p.scenario.name, p.step.about, p.kill.operation, p.kill.moment, p.again) == wanted][
        -1
    ]
