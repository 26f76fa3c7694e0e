"""One device: the nucleus, its connection to AWS, and the component deployed to it."""

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sandbox.nucleus.component_updates import Updates
from sandbox.nucleus.configuration import Configuration
from sandbox.nucleus.credentials import Credentials, CredentialsServer
from sandbox.nucleus.ipc import IpcServer
from sandbox.nucleus.lifecycle import ComponentState, Lifecycle
from sandbox.nucleus.mqtt import Broker, Identity, MqttConnection
from sandbox.nucleus.operations import Operations
from sandbox.nucleus.personality import Personality
from sandbox.nucleus.recipe import TOKEN_EXCHANGE, Recipe, read
from sandbox.nucleus.scripts import Variables

logger = logging.getLogger(__name__)

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NotDeployedError(RuntimeError):
    """The device has no component yet."""


class PoweredOffError(RuntimeError):
    """The device is off."""

    def __init__(self, thing: str) -> None:
        super().__init__(f"{thing} is off: start it first")


class OneProcessError(RuntimeError):
    """The nucleus has no daemons that could restart alone."""

    def __init__(self, thing: str) -> None:
        super().__init__(f"the nucleus of {thing} is one process: restart it as a whole, or take nucleus lite")


class Surroundings(msgspec.Struct, frozen=True):
    """What all devices of a sandbox share: where AWS is, and what gives a thing its credentials."""

    region: str
    endpoint: str
    broker: Broker
    assume: Callable[[str], Credentials]


class Nucleus:
    """To be used in one event loop; it starts no thread, and no process but the component's.

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
        self._configuration = Configuration()
        self._lifecycle: Lifecycle | None = None
        self._changed = asyncio.Event()

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

    @property
    def component_state(self) -> ComponentState:
        """Where the component is in its life."""
        return self._deployed.state

    @property
    def component_pid(self) -> int | None:
        """Process id of the component, None when it does not run. It leads a process group."""
        return self._deployed.pid

    @property
    def log_path(self) -> Path:
        """What the component wrote to its standard output and error."""
        return self._log_path(self._deployed.recipe)

    async def start(self) -> None:
        """Power on: serve IPC, connect, and run the component if there is one. Doesn't wait for the connection."""
        self._tokens.forget()
        await self._ipc.start()
        await self.credentials.start()
        self._connect()
        if self._lifecycle is not None:
            self._lifecycle.start()

    async def stop(self) -> None:
        """Stop the component as a device does that shuts down, and go."""
        if self._mqtt is not None and self._lifecycle is not None:
            await self._lifecycle.stop()
        await self._go_dark()

    async def cut_power(self) -> None:
        """SIGKILL everything of this device, and drop its connection, without a word to anyone."""
        if self._mqtt is not None and self._lifecycle is not None:
            await self._lifecycle.cut_power()
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
        if self._lifecycle is not None and TOKEN_EXCHANGE in self._lifecycle.recipe.dependencies:
            await self._lifecycle.stop()

    def start_components(self) -> None:
        """Start the component if it has been stopped: `systemctl start greengrass-lite.target`."""
        if self._deployed.state is ComponentState.STOPPED:
            self._deployed.start()

    async def restart_mqtt_daemon(self) -> None:
        """Restart the process that has the connection to AWS IoT. It has forgotten what components subscribed to, and
        their streams stay open: nobody is told.

        Raises:
            PoweredOffError: the device is off.
            OneProcessError: there is no such process.
        """
        if self.personality.takes_components_along:
            raise OneProcessError(self.thing)
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
        self._configuration.forget_listeners()

    async def deploy(self, recipe_path: Path, artifacts: Path, configuration: Mapping[str, Any] | None = None) -> None:
        """Replace the component: its recipe, the artifacts it names (files in the directory `artifacts`), and a
        configuration that is merged into what is there, over the recipe's defaults.

        A component that runs is asked first, if it has subscribed to updates.

        Raises:
            RecipeError: the recipe is not one that a nucleus would take for this machine.
            FileNotFoundError: an artifact is missing.
        """
        recipe = read(recipe_path, self.personality.recipes)
        if self._lifecycle is not None and self._mqtt is not None:
            await self.updates.ask()
            await self._lifecycle.stop()
        if self._lifecycle is None or self._lifecycle.recipe.name != recipe.name:
            self._configuration = Configuration()
        self._configuration.add_defaults(recipe.default_configuration)
        self._configuration.merge((), configuration or {})
        variables = self._prepare_directories(recipe, artifacts)
        self._lifecycle = Lifecycle(
            self.personality.lifecycle,
            recipe,
            variables,
            self._log_path(recipe),
            self._environment,
            self._tokens.end,
            self._notify,
        )
        if self._mqtt is not None:
            self._lifecycle.start()

    def configure(self, configuration: Mapping[str, Any]) -> None:
        """Merge a configuration while the component runs, as a deployment that changes nothing else does."""
        self._configuration.merge((), configuration)

    async def kill_component(self) -> None:
        """SIGKILL the component's process group, and see it end. The nucleus takes it for an error, and restarts it."""
        self._deployed.kill()
        while self._deployed.state is ComponentState.RUNNING:
            await self._changed.wait()

    async def wait_for(self, *states: ComponentState) -> ComponentState:
        """Return when the component is in one of these states."""
        while self._lifecycle is None or self._lifecycle.state not in states:
            await self._changed.wait()
        return self._lifecycle.state

    def configuration(self, component: str) -> Configuration | None:
        """The configuration of a component, None if it isn't deployed here."""
        deployed = self._lifecycle is not None and self._lifecycle.recipe.name == component
        return self._configuration if deployed else None

    def report_state(self, component: str, state: str) -> None:
        """A component says that it is RUNNING or ERRORED."""
        logger.info("%s: %s reports %s", self.thing, component, state)
        self._deployed.report(ComponentState(state))

    @property
    def _deployed(self) -> Lifecycle:
        if self._lifecycle is None:
            raise NotDeployedError(f"no component is deployed to {self.thing}: call deploy first")
        return self._lifecycle

    def _connect(self) -> None:
        self._mqtt = MqttConnection(self._surroundings.broker, self._identity, self.personality.mqtt)
        self._mqtt.start()

    async def _go_dark(self) -> None:
        self._ipc.stop()
        self.credentials.stop()
        mqtt, self._mqtt = self._mqtt, None  # with what it had not sent
        if mqtt is not None:
            await mqtt.stop()

    def _prepare_directories(self, recipe: Recipe, source: Path) -> Variables:
        work = self.directory / "work" / recipe.name
        artifacts = self.directory / "packages" / "artifacts" / recipe.name / recipe.version
        decompressed = self.directory / "packages" / "artifacts-unarchived" / recipe.name / recipe.version
        for directory in (work, artifacts, decompressed, self.directory / "logs", self.directory / "tmp"):
            directory.mkdir(parents=True, exist_ok=True)
        for artifact in recipe.artifacts:
            target = artifacts / artifact.name
            target.unlink(missing_ok=True)
            shutil.copyfile(source / artifact.name, target)
            target.chmod(0o444)
            if artifact.zipped and self.personality.unpacks_archives:
                shutil.unpack_archive(target, decompressed / target.stem, "zip")
        return Variables(
            thing=self.thing,
            artifacts=artifacts,
            decompressed=decompressed,
            work=work,
            root=self.directory,
            configuration=self._configuration,
        )

    def _log_path(self, recipe: Recipe) -> Path:
        return self.directory / "logs" / f"{recipe.name}.log"

    def _environment(self, start: str) -> dict[str, str]:
        recipe = self._deployed.recipe
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

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
