"""When the next round opens: a pure function of the last one."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from cloud.custom_policies import InvalidPolicyError, call
from cloud.settings import MAX_WAIT_S, Pacing
from fedgrass.policies import Round


def not_before(pacing: Pacing, last: Round, opened_at: float, delay: Callable[..., Any] | None = None) -> float:
    """The earliest time for the next round, in seconds since 1970-01-01 UTC.

    Raises:
        InvalidPolicyError: a custom policy failed, or returned no number of seconds.
    """
    if pacing.policy == "custom":
        if delay is None:
            raise InvalidPolicyError("pacing.policy is custom, but no next_round_delay was loaded")
        delay_s: float = call(delay, Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_S)], last)
        return opened_at + last.elapsed_s + delay_s
    return opened_at + pacing.interval_s if pacing.policy == "fixed_rate" else 0.0
