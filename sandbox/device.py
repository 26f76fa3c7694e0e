"""One device of a fleet, from outside: what can be seen of it, and done to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.background_loop import BackgroundLoop
from sandbox.built_component import BuiltComponent
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.nucleus.nucleus import Nucleus
from sandbox.nucleus.personality import Personality

START_LIMIT_S = 120.0
LOG_TAIL_CHARACTERS = 2000


class Device:
    """One device, as a person stands before it."""

    def __init__(self, nucleus: Nucleus, loop: BackgroundLoop, component: str) -> None:
        """`component` is the one that it is all about: others may be beside it."""
        self._nucleus = nucleus
        self._loop = loop
        self._component = component

    @property
    def thing(self) -> str:
        """Its name in AWS IoT, by which federations know it as a client."""
        return self._nucleus.thing

    @property
    def personality(self) -> Personality:
        """Which nucleus it runs."""
        return self._nucleus.personality

    @property
    def directory(self) -> Path:
        """Its Greengrass root, with work, packages and logs."""
        return self._nucleus.directory

    @property
    def log_path(self) -> Path:
        """What the component wrote to its standard output and error."""
        return self._nucleus.components.log_path(self._component)

    @property
    def log_tail(self) -> str:
        """The end of that; empty if the component was never started."""
        try:
            return self.log_path.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
        except FileNotFoundError:
            return ""

    @property
    def state(self) -> ComponentState:
        """Where the component is in its life; NEW as long as none is deployed."""
        return self.state_of(self._component) or ComponentState.NEW

    @property
    def pid(self) -> int | None:
        """Process id of the component, None when it does not run."""
        lifecycle = self._nucleus.components.lifecycles.get(self._component)
        return None if lifecycle is None else lifecycle.pid

    @property
    def failure(self) -> str | None:
        """Why the last deployment from AWS failed; None if it did not, or there was none."""
        return self._nucleus.failure

    def wait_for(self, *states: ComponentState, limit_s: float = START_LIMIT_S) -> ComponentState:
        """Return when the component is in one of these states.

        Raises:
            TimeoutError: it is not, in time.
        """
        return self._loop.run(self._nucleus.wait_for(self._component, *states), limit_s)

    def wait_connected(self, limit_s: float = START_LIMIT_S) -> None:
        """Return when the device is connected to AWS IoT.

        Raises:
            TimeoutError: it is not, in time.
        """
        self._loop.run(self._nucleus.mqtt.wait_connected(), limit_s)

    def deploy(self, component: BuiltComponent, configuration: Mapping[str, Any] | None = None) -> None:
        """Replace the component, or only its configuration: see `Nucleus.deploy`."""
        self._loop.run(self._nucleus.deploy(component.recipe, component.artifacts, configuration))

    def configure(self, configuration: Mapping[str, Any], component: str | None = None) -> None:
        """Merge a configuration while the component, or another one, runs."""
        self._loop.run(_call(self._nucleus.configure, component or self._component, configuration))

    def state_of(self, component: str) -> ComponentState | None:
        """Where another component is in its life, None if it is not here."""
        lifecycle = self._nucleus.components.lifecycles.get(component)
        return None if lifecycle is None else lifecycle.state

    def version_of(self, component: str) -> str | None:
        """Which version of a component is here, None if none is."""
        lifecycle = self._nucleus.components.lifecycles.get(component)
        return None if lifecycle is None else lifecycle.recipe.version

    def kill_component(self) -> None:
        """SIGKILL the component; the nucleus restarts it, up to twice an hour."""
        self._loop.run(self._nucleus.kill_component(self._component))

    def cut_connection(self) -> None:
        """Take the line to AWS IoT away, until `restore_connection`. S3 stays reachable."""
        self._loop.run(self._nucleus.mqtt.cut())

    def kill_line(self) -> None:
        """Take the line away without the nucleus noticing, as it takes some time to, until `restore_connection`."""
        self._loop.run(_call(self._nucleus.mqtt.kill_line))

    def restore_connection(self) -> None:
        """Give the line back; doesn't wait for the connection, which is there at the nucleus's next try."""
        self._loop.run(self._nucleus.mqtt.restore())

    def restart_nucleus(self) -> None:
        """Restart the nucleus, not the device: components of a classic one are stopped and started as well."""
        self._loop.run(self._nucleus.restart())

    def refuse_credentials(self, refused: bool = True) -> None:
        """Have AWS give the device no credentials, or give it some again."""
        self._nucleus.credentials.refused = refused

    def crash_token_exchange(self) -> None:
        """SIGKILL the token exchange service: see `Nucleus.crash_token_exchange`."""
        self._loop.run(self._nucleus.crash_token_exchange())

    def start_components(self) -> None:
        """Start the component if it has been stopped."""
        self._loop.run(_call(self._nucleus.start_components))

    def restart_mqtt_daemon(self) -> None:
        """Restart nucleus lite's MQTT daemon: subscriptions end, and nobody is told."""
        self._loop.run(self._nucleus.restart_mqtt_daemon())

    def restart_configuration_daemon(self) -> None:
        """Restart nucleus lite's configuration daemon: nobody hears of changes any more, or is told so."""
        self._loop.run(_call(self._nucleus.restart_configuration_daemon))

    def power_off(self) -> None:
        """Pull the plug: everything of this device is gone at once, but for what is on its disk."""
        self._loop.run(self._nucleus.cut_power())

    def power_on(self) -> None:
        """Boot; doesn't wait for the connection."""
        self._loop.run(self._nucleus.start())


async def _call(function: Any, *arguments: Any) -> None:
    function(*arguments)
