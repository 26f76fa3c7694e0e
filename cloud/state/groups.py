"""Thing groups: who belongs to a fleet."""

from typing import TYPE_CHECKING

from cloud.state.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_iot import IoTClient


KNOWN_S = 60.0
"""What AWS IoT says of a thing's groups is asked again after a minute: a device says hello as often as it likes."""


class Groups:
    """The thing groups of the account. `connect` makes a client of AWS IoT, the first time that one is needed."""

    def __init__(self, connect: "Callable[[], IoTClient]") -> None:
        self._connect = connect
        self._iot: IoTClient | None = None
        self._known: Recent[str, set[str]] = Recent(KNOWN_S)

    def of(self, thing: str) -> set[str]:
        """The names of the groups that a thing is in, or was in a minute ago; none, if there is no such thing."""
        groups = self._known.get(thing)
        if groups is None:
            groups = self._ask(thing)
            self._known.put(thing, groups)
        return groups

    def _ask(self, thing: str) -> set[str]:
        if self._iot is None:
            self._iot = self._connect()
        try:
            pages = self._iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
            return {group["groupName"] for page in pages for group in page["thingGroups"]}
        except self._iot.exceptions.ResourceNotFoundException:
            return set()
