"""How many invocations at once an account allows, and what that leaves to a stack.

A new account may run 10 at once, in all functions. A message that finds none free counts as tried, and is a dead letter
after five tries; so the queues must not ask for more than there are. Nor can any be reserved then.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

_AT_ONCE = 48
"""What the queues ask for if nothing holds them back: 2 for updates, 2 for hellos, 8, 16, and some for rounds."""

_LEFT_UNRESERVED = 100
"""Lambda keeps so many for functions that have reserved none; in an account that has fewer, all of them."""

_RESERVATIONS = ("InitiatorConcurrency", "AveragerConcurrency")

_MORE = (
    "more are to be had for nothing: `aws service-quotas request-service-quota-increase --service-code lambda "
    "--quota-code L-B99A9384 --desired-value 1000`, and then this command again"
)


class Concurrency(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a stack that an account can carry, and what is to be said of them."""

    parameters: dict[str, str]
    note: str


def for_account(functions: Any, parameters: Mapping[str, str], present: Mapping[str, str]) -> Concurrency:
    """What the account that a Lambda client has can carry."""
    limit = functions.get_account_settings()["AccountLimit"]
    return carried(limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"], parameters, present)


def carried(limit: int, unreserved: int, parameters: Mapping[str, str], present: Mapping[str, str]) -> Concurrency:
    """What an account with such limits can carry. `parameters` are those that the stack shall have, `present` those
    that it has, so that what it has reserved is its own."""
    notes = []
    result = {"Concurrency": "many"}
    if limit < _AT_ONCE:
        result["Concurrency"] = "few"
        notes.append(f"this account runs {limit} invocations at once, so the queues ask for ten at most, in all")
    wanted = {name: _number((dict(present) | dict(parameters)).get(name)) for name in _RESERVATIONS}
    free = unreserved + sum(_number(present.get(name)) for name in _RESERVATIONS)
    if any(wanted.values()) and free - sum(wanted.values()) < min(limit, _LEFT_UNRESERVED):
        result |= dict.fromkeys(_RESERVATIONS, "0")
        notes.append(
            f"{' and '.join(f'{name} {number}' for name, number in wanted.items() if number)} can't be reserved: of "
            f"{free} that are free Lambda keeps {min(limit, _LEFT_UNRESERVED)}, so nothing is reserved"
        )
    return Concurrency(parameters=result, note="; ".join([*notes, _MORE] if notes else []))


def _number(value: str | None) -> int:
    """Of a parameter; CloudFormation refuses what is none."""
    return int(value) if value and value.isdecimal() else 0
