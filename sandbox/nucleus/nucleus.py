"""One device: the nucleus, its connection to AWS, and the components deployed to it."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from sandbox.greengrass.core_devices import CoreDevice, InstalledComponent
from sandbox.nucleus.component_updates import Updates
from sandbox.nucleus.components import Components
from sandbox.nucleus.configuration import Configuration
from sandbox.nucleus.credentials import Credentials, CredentialsServer
from sandbox.nucleus.deployment_document import DeploymentDocument
from sandbox.nucleus.deployments import Cloud, Deployments, Outcome
from sandbox.nucleus.ipc import IpcServer
from sandbox.nucleus.jobs import Jobs
from sandbox.nucleus.lifecycle import ComponentState, Lifecycle
from sandbox.nucleus.mqtt import Broker, Identity, MqttConnection
from sandbox.nucleus.operations import Operations
from sandbox.nucleus.personality import Personality
from sandbox.nucleus.recipe import TOKEN_EXCHANGE, Recipe, this_platform

logger = logging.getLogger(__name__)

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class PoweredOffError(RuntimeError):
    """The device is off."""

    def __init__(self, thing: str) -> None:
        super().__init__(f"{thing} is off: start it first")


class OneProcessError(RuntimeError):
    """The nucleus has no daemons that could restart alone."""

    def __init__(self, thing: str) -> None:
        super().__init__(f"the nucleus of {thing} is one process: restart it as a whole, or take nucleus lite")


_REPORTED = {ComponentState.INSTALLING: "NEW", ComponentState.STOPPED: "FINISHED"}
"""What the API calls states that it does not have."""


class Surroundings(msgspec.Struct, frozen=True):
    """What all devices of a sandbox share: where AWS is, what gives a thing its credentials, where deployments come
    from, and where a device reports what it runs."""

    region: str
    endpoint: str
    broker: Broker
    assume: Callable[[str], Credentials]
    cloud: Cloud
    report: Callable[[CoreDevice], None]


class Nucleus:
    """To be used in one event loop; it starts no process but the components'.

    `directory` is the Greengrass root: work/<component>, packages/artifacts/<component>/<version> and logs are in it,
    and outlive `stop` and `cut_power`, as a device's disk does. The socket is in `socket_directory`, whose path has to
    be short.
    """

    def __init__(
        self,
        personality: Personality,
        identity: Identity,
        directory: Path,
        socket_directory: Path,
        surroundings: Surroundings,
    ) -> None:
        """
        Raises:
            SocketPathTooLongError: the socket's path would be longer than a Unix socket's may be.
        """
        self.thing = identity.thing
        self.directory = directory
        self.personality = personality
        self.updates = Updates(identity.thing)
        self.failure: str | None = None
        self._identity = identity
        self._surroundings = surroundings
        self._tokens = personality.tokens()
        self._ipc = IpcServer(
            socket_directory / personality.socket_name,
            self._tokens.holder,
            Operations(self, personality.operations).handlers,
            personality.ipc,
        )
        self.credentials = CredentialsServer(
            identity.thing, self._tokens.holder, surroundings.assume, personality.credentials
        )
        self._mqtt: MqttConnection | None = None
        self._jobs: Jobs | None = None
        self._untold: dict[str, Outcome] = {}
        self.components = Components(
            identity.thing, directory, personality, self._environment, self._tokens.end, self._report
        )
        self._deployments = Deployments(
            identity.thing, directory, personality, self.components, self.updates, surroundings.cloud
        )

    @property
    def mqtt(self) -> MqttConnection:
        """The device's connection.

        Raises:
            PoweredOffError: the device is off.
        """
        if self._mqtt is None:
            raise PoweredOffError(self.thing)
        return self._mqtt

    @property
    def connected(self) -> bool:
        """Whether the device is on, and connected to AWS IoT."""
        return self._mqtt is not None and self._mqtt.connected

    async def start(self) -> None:
        """Power on: serve IPC, connect, and run the components. Doesn't wait for the connection."""
        self._tokens.forget()
        await self._ipc.start()
        await self.credentials.start()
        self._connect()
        self.components.start()
        self._report()

    async def stop(self) -> None:
        """Stop the components as a device does that shuts down, and go."""
        await self._break_off()
        await self.components.stop()
        await self._go_dark()

    async def cut_power(self) -> None:
        """SIGKILL everything of this device, and drop its connection, without a word to anyone."""
        await self._break_off()
        await self.components.cut_power()
        await self._go_dark()

    async def restart(self) -> None:
        """Restart the nucleus and not the device, as after a crash of it or an update.

        Components that outlive it (lite) lose their connections, and the tokens with which they could make new ones.

        Raises:
            PoweredOffError: the device is off.
        """
        if self._mqtt is None:
            raise PoweredOffError(self.thing)
        if self.personality.takes_components_along:
            await self.stop()
            await self.start()
            return
        self._ipc.stop()
        self._tokens.forget()
        await self._ipc.start()

    async def crash_token_exchange(self) -> None:
        """SIGKILL the token exchange service, which starts again, at another port. Where it is a process of its own, a
        component that depends on it is stopped with it, until `start_components`; else the nucleus restarts.

        Raises:
            PoweredOffError: the device is off.
        """
        if not self.personality.credentials.stands_alone:
            await self.restart()
            return
        if self._mqtt is None:
            raise PoweredOffError(self.thing)
        await self.credentials.restart()
        for lifecycle in self.components.lifecycles.values():
            if TOKEN_EXCHANGE in lifecycle.recipe.dependencies:
                await lifecycle.stop()

    def start_components(self) -> None:
        """Start the components that have been stopped: `systemctl start greengrass-lite.target`."""
        for lifecycle in self.components.lifecycles.values():
            if lifecycle.state is ComponentState.STOPPED:
                lifecycle.start()

    async def restart_mqtt_daemon(self) -> None:
        """Restart the process that has the connection to AWS IoT. It has forgotten what components subscribed to, and
        their streams stay open: nobody is told.

        Raises:
            PoweredOffError: the device is off.
            OneProcessError: there is no such process.
        """
        if self.personality.takes_components_along:
            raise OneProcessError(self.thing)
        await self._break_off()
        await self.mqtt.stop()
        self._connect()

    def restart_configuration_daemon(self) -> None:
        """Restart the process that keeps the configuration. It has forgotten who wanted to hear of changes, and the
        streams stay open: nobody is told.

        Raises:
            OneProcessError: there is no such process.
        """
        if self.personality.takes_components_along:
            raise OneProcessError(self.thing)
        self.components.forget_listeners()

    async def deploy(
        self, recipe_path: Path, artifacts: Path, configuration: Mapping[str, Any] | None = None
    ) -> Lifecycle:
        """Install a component from files, with a configuration that is merged into what is there, over the recipe's
        defaults: see `Deployments.install`. Components are asked first, if they have subscribed to updates.

        Raises:
            RecipeError: the recipe is not one that a nucleus would take for this machine.
            FileNotFoundError: an artifact is missing.
        """
        return self.components.lifecycle(await self._deployments.install(recipe_path, artifacts, configuration or {}))

    def configure(self, component: str, configuration: Mapping[str, Any]) -> None:
        """Merge a configuration while a component runs, as a deployment that changes nothing else does."""
        self.components.existing_configuration(component).merge((), configuration)

    async def kill_component(self, component: str) -> None:
        """SIGKILL a component's process group, and see it end. The nucleus takes it for an error, and restarts it."""
        lifecycle = self.components.lifecycle(component)
        lifecycle.kill()
        while lifecycle.state is ComponentState.RUNNING:
            await self.components.changed()

    async def wait_for(self, component: str, *states: ComponentState) -> ComponentState:
        """Return when a component is in one of these states."""
        while (lifecycle := self.components.lifecycles.get(component)) is None or lifecycle.state not in states:
            await self.components.changed()
        return lifecycle.state

    def configuration(self, component: str) -> Configuration | None:
        """The configuration of a component, None if it isn't deployed here."""
        return self.components.configuration(component)

    def report_state(self, component: str, state: str) -> None:
        """A component says that it is RUNNING or ERRORED."""
        logger.info("%s: %s reports %s", self.thing, component, state)
        self.components.lifecycle(component).report(ComponentState(state))

    def _connect(self) -> None:
        self._mqtt = MqttConnection(self._surroundings.broker, self._identity, self.personality.mqtt)
        self._jobs = Jobs(self._mqtt, self._carry_out, self._untold)
        self._jobs.start()
        self._mqtt.start()

    async def _carry_out(self, document: DeploymentDocument) -> Outcome:
        outcome = await self._deployments.carry_out(document)
        self.failure = None if outcome.status == "SUCCEEDED" else outcome.details["deployment-failure-cause"]
        logger.info("%s: deployment %s: %s", self.thing, document.deployment_id, outcome)
        self._report()
        return outcome

    async def _break_off(self) -> None:
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            await jobs.stop()

    async def _go_dark(self) -> None:
        self._ipc.stop()
        self.credentials.stop()
        mqtt, self._mqtt = self._mqtt, None  # with what it had not sent
        if mqtt is not None:
            await mqtt.stop()

    def _report(self) -> None:
        now = datetime.now(UTC)
        roots = self._deployments.roots
        platform = this_platform()
        self._surroundings.report(
            CoreDevice(
                thing=self.thing,
                nucleus=self.personality.version,
                runtime=self.personality.recipes.runtime,
                platform=platform["os"],
                architecture=platform["architecture"],
                reported_at=now,
                components=tuple(
                    InstalledComponent(
                        name=name,
                        version=lifecycle.recipe.version,
                        state=_REPORTED.get(lifecycle.state, lifecycle.state.value),
                        is_root=name in roots,
                        changed_at=now,
                        deployment=roots.get(name, ""),
                    )
                    for name, lifecycle in self.components.lifecycles.items()
                ),
            )
        )

    def _environment(self, recipe: Recipe, start: str) -> dict[str, str]:
        region = self._surroundings.region
        environment = {
            "PATH": _PATH,
            "LANG": "C.UTF-8",
            "HOME": str(self.directory / "home-that-is-not-there"),  # as a device's user may have none
            "TMPDIR": str(self.directory / "tmp"),
            "SVCUID": self._tokens.issue(recipe.name, start),
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self._ipc.path),
            "AWS_IOT_THING_NAME": self.thing,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "GGC_VERSION": self.personality.version,
            "GG_ROOT_CA_PATH": str(self._surroundings.broker.ca_path),
            "AWS_ENDPOINT_URL": self._surroundings.endpoint,  # the one thing that is not so on a device
        }
        if TOKEN_EXCHANGE in recipe.dependencies:
            environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = self.credentials.url
            environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = environment["SVCUID"]
        return environment
