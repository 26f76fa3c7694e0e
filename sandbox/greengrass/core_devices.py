"""Core devices, as they report themselves."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from sandbox.greengrass.errors import NotFoundError


class InstalledComponent(msgspec.Struct, frozen=True, kw_only=True):
    """A component on a device. `state` is one of the API's; `is_root`: a deployment names it, it isn't there only for
    others; `deployment` is the one that installed it."""

    name: str
    version: str
    state: str
    is_root: bool
    changed_at: datetime
    deployment: str


class CoreDevice(msgspec.Struct, frozen=True, kw_only=True):
    """One device at its last report."""

    thing: str
    nucleus: str
    runtime: str
    platform: str
    architecture: str
    reported_at: datetime
    components: tuple[InstalledComponent, ...] = ()

    @property
    def status(self) -> str:
        """HEALTHY if none of its components has been given up."""
        return "UNHEALTHY" if any(component.state == "BROKEN" for component in self.components) else "HEALTHY"


class CoreDevices:
    """By thing name; what the last report said."""

    def __init__(self) -> None:
        self._devices: dict[str, CoreDevice] = {}
        self.tags: dict[str, dict[str, str]] = {}

    def report(self, device: CoreDevice) -> None:
        """Take what a device says of itself."""
        self._devices[device.thing] = device

    def find(self, thing: str) -> CoreDevice:
        """
        Raises:
            NotFoundError: it has never reported.
        """
        if thing not in self._devices:
            raise NotFoundError(f"Core device {thing} does not exist", "coreDevice", thing)
        return self._devices[thing]

    def remove(self, thing: str) -> None:
        """
        Raises:
            NotFoundError: it has never reported.
        """
        del self._devices[self.find(thing).thing]
        self.tags.pop(thing, None)

    def all(self) -> Iterable[CoreDevice]:
        """In the order of their names."""
        return [device for _, device in sorted(self._devices.items())]
