"""Which devices failed in the rounds of a run, and what that makes of the run."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.errors.kind import ResultError
from reporting.round_figures import Failing, RoundFigures
from sandbox.kept_files import DEVICES, device_log

LINES = 8
"""So many failing devices have a line each; of more, those with the same reason share one."""

NAMES = 3

STATED_SHARE = 0.5
"""More of the rounds without a model, or of the last round's devices without an update, make a run fail."""


class NoRoundClosedError(ResultError):
    """No round made a model."""


class RoundsFailedError(ResultError):
    """Too many rounds made no model."""


class DevicesFailedError(ResultError):
    """Too many devices failed in the last round."""


def lines(failing: Sequence[Failing]) -> Iterator[str]:
    """One for each device, or for each of the most frequent reasons."""
    if len(failing) <= LINES:
        yield from (f"{each.thing} {each.state}: {each.reason}" for each in failing)
        return
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in failing:
        groups[each.state, each.reason].append(each.thing)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    for (state, reason), things in ranked[:LINES]:
        more = f" and {len(things) - NAMES} more" if len(things) > NAMES else ""
        yield f"{', '.join(things[:NAMES])}{more} {state}: {reason}"
    if others := sum(len(things) for _, things in ranked[LINES:]):
        yield f"and {others} more for other reasons"


def verdict(history: Sequence[RoundFigures]) -> tuple[type[ResultError], str] | None:
    """What a run fails with, and why; None if it is as it should be."""
    empty = sum(figures.status != "closed" for figures in history)
    if empty == len(history):
        return NoRoundClosedError, "no round made a model"
    if empty > STATED_SHARE * len(history):
        return RoundsFailedError, f"{empty} of {len(history)} rounds made no model"
    last = history[-1]
    if len(last.failing) > STATED_SHARE * last.asked:
        return DevicesFailedError, f"{len(last.failing)} of {last.asked} devices failed in the last round"
    return None


def logs(history: Sequence[RoundFigures], kept: Path | None) -> Iterator[str]:
    """Where the logs are of the devices that failed in any round. `kept` is the folder where the sandbox is kept."""
    things = sorted({each.thing for figures in history for each in figures.failing})
    if kept is None:
        if things:
            yield "with --keep DIR, the logs of the devices that failed are kept"
        return
    for thing in things[:LINES]:
        yield f"{thing} failed; its log: {device_log(kept, thing)}"
    if len(things) > LINES:
        yield f"and {len(things) - LINES} more, in {kept / DEVICES}"
