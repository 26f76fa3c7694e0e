"""Thing groups: who belongs to a fleet."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_iot import IoTClient


class Groups:
    """The thing groups of the account. `connect` makes a client of AWS IoT, the first time that one is needed."""

    def __init__(self, connect: "Callable[[], IoTClient]") -> None:
        self._connect = connect
        self._iot: IoTClient | None = None

    def of(self, thing: str) -> set[str]:
        """The names of the groups that a thing is in; none, if there is no such thing."""
        if self._iot is None:
            self._iot = self._connect()
        try:
            pages = self._iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
            return {group["groupName"] for page in pages for group in page["thingGroups"]}
        except self._iot.exceptions.ResourceNotFoundException:
            return set()
