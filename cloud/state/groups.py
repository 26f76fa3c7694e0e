"""Thing groups: who belongs to a fleet."""

from functools import cached_property
from typing import TYPE_CHECKING

from cloud.state.ttl_cache import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_iot import IoTClient

KNOWN_S = 60.0
"""How long an answer of AWS IoT on a thing's groups is used again: a device says hello as often as it likes. A list of
a group's members may be as old when an update is counted: its cohort was checked when the round opened."""

_PAGE = 250
"""AWS IoT lists no more things in one call."""


class Groups:
    """The thing groups of the account. `connect` makes a client of AWS IoT, the first time that one is needed."""

    def __init__(self, connect: "Callable[[], IoTClient]") -> None:
        self._connect = connect
        self._known: Recent[str, set[str]] = Recent(KNOWN_S)
        self._members: dict[str, tuple[float, frozenset[str]]] = {}

    def of(self, thing: str) -> set[str]:
        """The names of the groups that a thing is in, or was in a minute ago; none, if there is no such thing."""
        groups = self._known.get(thing)
        if groups is None:
            groups = self._ask(thing)
            self._known.put(thing, groups)
        return groups

    def _ask(self, thing: str) -> set[str]:
        try:
            pages = self._iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
            return {group["groupName"] for page in pages for group in page["thingGroups"]}
        except self._iot.exceptions.ResourceNotFoundException:
            return set()

    def members(self, group: str) -> frozenset[str]:
        """The things that are in a group; none, if there is no such group."""
        paginator = self._iot.get_paginator("list_things_in_thing_group")
        try:
            pages = paginator.paginate(thingGroupName=group, PaginationConfig={"PageSize": _PAGE})
            return frozenset(thing for page in pages for thing in page["things"])
        except self._iot.exceptions.ResourceNotFoundException:
            return frozenset()

    def recent_members(self, group: str, now: float) -> frozenset[str]:
        """The same as it was a minute before `now`, or later."""
        read_at, members = self._members.get(group, (None, frozenset()))
        if read_at is None or now - read_at > KNOWN_S:
            members = self.members(group)
            self._members[group] = now, members
        return members

    @cached_property
    def _iot(self) -> "IoTClient":
        return self._connect()
