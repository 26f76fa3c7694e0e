"""What CloudFormation does to a stack, resource by resource, as it comes."""

import time
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from operations.pages import listed

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackEventTypeDef

_LIMIT_S = 3600.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


class ResourceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A resource has a new status; `resource` is its name in the template, `reason` is why, empty where nobody says."""

    resource: str
    kind: str
    status: str
    reason: str


Tell = Callable[[ResourceEvent], None]


class Watch:
    """What happens to a stack from now on. `stack_id` is its ARN, since a deleted stack has no name any more."""

    def __init__(self, cloudformation: "CloudFormationClient", stack_id: str) -> None:
        self._cloudformation = cloudformation
        self._stack_id = stack_id
        self._newest = ""
        self._new()

    def follow(self, tell: Tell) -> tuple[str, str]:
        """Tell what happens until nothing is under way any more; returns the status that the stack has then, and why
        resources have failed.

        Raises:
            TimeoutError: it takes longer than an hour.
        """
        ends_at = time.monotonic() + _LIMIT_S
        pause_s = _FIRST_PAUSE_S
        reasons: list[str] = []
        while time.monotonic() < ends_at:
            events = self._new()
            for event in events:
                told = ResourceEvent(
                    resource=event.get("LogicalResourceId", ""),
                    kind=event.get("ResourceType", ""),
                    status=event.get("ResourceStatus", ""),
                    reason=event.get("ResourceStatusReason", ""),
                )
                tell(told)
                if told.status.endswith("FAILED") and told.reason:
                    reasons.append(f"{told.resource}: {told.reason}")
            of_stack = [e for e in events if e.get("PhysicalResourceId") == self._stack_id]
            if of_stack and not of_stack[-1].get("ResourceStatus", "").endswith("IN_PROGRESS"):
                return of_stack[-1].get("ResourceStatus", ""), "; ".join(reasons)
            pause_s = _FIRST_PAUSE_S if events else min(pause_s * 1.5, _LONGEST_PAUSE_S)
            time.sleep(pause_s)
        raise TimeoutError(
            f"stack {self._stack_id} is changed for more than an hour: give the command again, which waits on"
        )

    def _new(self) -> "list[StackEventTypeDef]":
        """Events that were not seen before, oldest first; CloudFormation lists the newest first."""
        every = listed(self._cloudformation, "describe_stack_events", "StackEvents", StackName=self._stack_id)
        found: list[StackEventTypeDef] = [*takewhile(lambda event: event["EventId"] != self._newest, every)]
        if found:
            self._newest = found[0]["EventId"]
        return found[::-1]
