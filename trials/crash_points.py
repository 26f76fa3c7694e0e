"""Kills the functions at every AWS call that they make in a round, before it is sent and after it is answered, and
checks that the rounds end as if nothing had happened.

`python -m trials.crash_points` deploys the stack to the embedded AWS and carries out rounds undisturbed, to learn
which AWS calls they take. Then, for each of these, it carries out the round again, in a federation of its own, and
kills the function there: its process ends at once, with whatever its other threads had under way. Redelivery goes on,
and the end is compared: the round is closed, the global model is the same to the bit, each update is counted once, no
lease and no multipart upload is left, histories are as they were, and the next round is open with the same clients,
busy ones and new ones. Every eighth point is tried once more with a second kill, some calls later.

All is real (the deployed zips, their roles, queues, tables, objects, shadows, topic rules) but for four things: the
event source mappings are replaced by event_sources.py, which delivers one batch at a time, so that no two invocations
overlap; time stands still, but where nothing would happen without it: then delayed messages, visibility timeouts and
leases end; parts of models are 1,100 bytes instead of 5 MiB, so that a small model has several, and what is kept of
updates between inspecting and averaging is 5,000 bytes instead of 64 MiB, so that some are read again; and clients are
simulated. The schedule, which would help, is off.

The last line is JSON: {"points", "failed", "seconds"}. What failed, and how, is told on standard error.
"""

import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from cloud.state.rounds import UnknownRoundError
from sandbox.sandbox import Sandbox
from trials.crashes.deployed_function import FunctionDiedError, Kill
from trials.crashes.event_sources import EventSources
from trials.crashes.rounds import DidNotEndError, Run, Step
from trials.crashes.scenarios import MIN_CLIENTS, End, Scenario, problems, scenarios

_TWICE_EVERY = 8
_TELL_EVERY = 50
_run_numbers = itertools.count(1)
_MOMENTS: tuple[Literal["before", "after"], ...] = ("before", "after")


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A way to disturb a scenario: a kill at a call of a step, and another at a later call of any step."""

    scenario: Scenario
    step: Step
    kill: Kill
    again: Kill | None = None

    def __str__(self) -> str:
        step, kill = self.step, self.kill
        again = f", and {self.again.moment} the call no. {self.again.occurrence} from then on" if self.again else ""
        return (
            f"{self.scenario.name}: {step.function}, {step.about} (no. {step.number}), "
            f"{kill.moment} {kill.operation} no. {kill.occurrence}{again}"
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How many points were tried, and what is wrong with those that failed."""

    points: int
    failed: dict[str, list[str]]


class DisturbedError(Exception):
    """A run in which nothing was killed does not end as it should: there is nothing to compare with."""


class CrashPoints:
    """The harness, for the time of a `with` block; afterwards nothing but another harness wakes the functions of the
    sandbox. `faults` is a file for crashes/functions_host.py: to see that what it breaks is found."""

    def __init__(self, sandbox: Sandbox, chosen: Sequence[Scenario], faults: Path | None = None) -> None:
        self._sandbox = sandbox
        self._scenarios = chosen
        self._faults = faults
        self._ends: dict[str, End] = {}

    def __enter__(self) -> "CrashPoints":
        with ExitStack() as stack:
            self._sources = stack.enter_context(EventSources(self._sandbox, self._faults))
            self._stack = stack.pop_all()
        iot = self._sandbox.aws.client("iot")
        for thing in {thing for scenario in self._scenarios for thing in scenario.things}:
            iot.create_thing(thingName=thing)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def points(self) -> list[Point]:
        """Every point of every scenario, found by carrying each out undisturbed.

        Raises:
            DisturbedError: an undisturbed run does not end as it should.
        """
        found: list[Point] = []
        for scenario in self._scenarios:
            run = self._new_run(scenario)
            end = run.carry_out()
            if wrong := problems(end, scenario, end):
                raise DisturbedError(f"{scenario.name}: {'; '.join(wrong)}")
            self._ends[scenario.name] = end
            found += _points_of(scenario, run)
        return found

    def try_all(self, points: Sequence[Point]) -> Verdict:
        """Disturb a run at each point."""
        failed: dict[str, list[str]] = {}
        for done, point in enumerate(points, 1):
            if wrong := self._try(point):
                failed[str(point)] = wrong
                sys.stderr.write(f"FAILED {point}\n" + "".join(f"    {text}\n" for text in wrong))
            if done % _TELL_EVERY == 0:
                sys.stderr.write(f"{done} of {len(points)} points, {len(failed)} failed\n")
        return Verdict(points=len(points), failed=failed)

    def _try(self, point: Point) -> list[str]:
        run = self._new_run(point.scenario)
        try:
            end = run.carry_out(point.step, point.kill, point.again)
        except (DidNotEndError, FunctionDiedError, UnknownRoundError) as error:
            return [f"{type(error).__name__}: {error}"]
        if not run.kills:
            return ["the call was never made, so nothing was killed"]
        return problems(end, point.scenario, self._ends[point.scenario.name])

    def _new_run(self, scenario: Scenario) -> Run:
        return Run(self._sandbox, self._sources, scenario, f"crash-{next(_run_numbers):06d}")


def _points_of(scenario: Scenario, run: Run) -> Iterator[Point]:
    remaining = sum(len(calls) for calls in run.calls.values())
    generator = random.Random(scenario.name)  # noqa: S311 - reproducible, not secret
    found = 0
    for step, calls in run.calls.items():
        seen: Counter[str] = Counter()
        for operation in calls:
            seen[operation] += 1
            for moment in _MOMENTS:
                kill = Kill(operation=operation, occurrence=seen[operation], moment=moment)
                point = Point(scenario=scenario, step=step, kill=kill)
                yield point
                found += 1
                if found % _TWICE_EVERY == 0:
                    later = generator.randint(1, remaining)
                    again = Kill(operation=None, occurrence=later, moment=generator.choice(_MOMENTS))
                    yield msgspec.structs.replace(point, again=again)
            remaining -= 1


def main(
    clients: Annotated[int, typer.Option(min=MIN_CLIENTS, max=10, help="How many clients a round has.")] = 5,
    sample: Annotated[int, typer.Option(min=1, help="Try every so manyth point only.")] = 1,
) -> None:
    """Try the points; exit with 1 if one failed."""
    started = time.monotonic()
    with Sandbox() as sandbox, CrashPoints(sandbox, scenarios(clients)) as harness:
        verdict = harness.try_all(harness.points()[::sample])
    figures = {
        "points": verdict.points,
        "failed": len(verdict.failed),
        "seconds": round(time.monotonic() - started, 1),
    }
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    raise typer.Exit(bool(verdict.failed))


if __name__ == "__main__":
    typer.run(main)
