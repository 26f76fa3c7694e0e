"""When the next round opens: pure functions of the last one, looked up here and nowhere else."""

from collections.abc import Callable
from typing import Annotated, Any, assert_never

import msgspec

from cloud.averager.round.cron import cron_of
from cloud.custom_policies import InvalidPolicyError, call
from cloud.settings import MAX_WAIT_S, Pacing, PacingPolicyName
from fedgrass.policies import Round


class EndedRound(msgspec.Struct, frozen=True, kw_only=True):
    """The round that has ended. `average_s` is how long rounds took on average, None if none has made a model;
    `next_round_delay` is the user's function, None if the settings don't ask for it."""

    round: Round
    opened_at: float
    average_s: float | None = None
    next_round_delay: Callable[..., Any] | None = None

    @property
    def ended_at(self) -> float:
        """When the round ended."""
        return self.opened_at + self.round.elapsed_s


class PacingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When the next round opens: not before a time, in seconds since 1970-01-01 UTC. `settings`: the options of pacing
    that only some policies use, this one among them; it needs them."""

    not_before: Callable[[Pacing, EndedRound], float]
    settings: frozenset[str] = frozenset()


def _custom(_: Pacing, last: EndedRound) -> float:
    if last.next_round_delay is None:
        raise InvalidPolicyError("pacing.policy is custom, but no next_round_delay was loaded")
    seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_S)]
    delay_s: float = call(last.next_round_delay, seconds, last.round)
    return last.ended_at + delay_s


def pacing_policy_of(name: PacingPolicyName) -> PacingPolicy:
    """The policy that settings name."""
    match name:
        case "at_once":
            return PacingPolicy(not_before=lambda _pacing, _last: 0.0)
        case "fixed_rate":
            return PacingPolicy(
                settings=frozenset({"interval_s"}), not_before=lambda pacing, last: last.opened_at + pacing.interval_s
            )
        case "adaptive":
            return PacingPolicy(not_before=lambda _pacing, last: last.opened_at + (last.average_s or 0.0))
        case "cron":
            return PacingPolicy(
                settings=frozenset({"times"}),
                not_before=lambda pacing, last: cron_of(pacing.times or "").after(last.ended_at),
            )
        case "when_ready":
            return PacingPolicy(
                settings=frozenset({"ready", "wait_s"}), not_before=lambda pacing, last: last.ended_at + pacing.wait_s
            )
        case "custom":
            return PacingPolicy(not_before=_custom)
        case _:
            assert_never(name)


def not_before(pacing: Pacing, last: EndedRound) -> float:
    """The earliest time for the next round, in seconds since 1970-01-01 UTC.

    Raises:
        InvalidPolicyError: a custom policy failed, or returned no number of seconds.
    """
    return pacing_policy_of(pacing.policy).not_before(pacing, last)
