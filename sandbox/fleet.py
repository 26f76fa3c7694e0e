"""A fleet of devices on this machine: each a thing of the embedded AWS, with a stand-in nucleus and the component."""

import asyncio
import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import msgspec
from botocore.config import Config

from sandbox import provisioning, python_environment
from sandbox.background_loop import BackgroundLoop
from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus.artifacts import ArtifactStore
from sandbox.nucleus.credentials import Credentials, TokenExchangeRole
from sandbox.nucleus.deployments import Cloud
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.nucleus.mqtt import Broker, Identity
from sandbox.nucleus.nucleus import Nucleus, Surroundings
from sandbox.nucleus.personality import CLASSIC, Personality
from sandbox.nucleus.recipe import read
from sandbox.scratch import Scratch

logger = logging.getLogger(__name__)

RUNTIME = "com.fedgrass.Runtime"
BROKER_HOST = "127.0.0.1"
START_LIMIT_S = 120.0
LOG_TAIL_CHARACTERS = 2000
_DOWNLOADS = 16


class ComponentNotBuiltError(FileNotFoundError):
    """The directory does not hold what a build leaves."""


class ComponentBrokenError(RuntimeError):
    """A device has given up on the component, which failed again and again."""


class DevicesOfflineError(TimeoutError):
    """Devices could not connect to AWS IoT."""


class BuiltComponent(msgspec.Struct, frozen=True):
    """A component as GDK leaves it: the recipe's file, and the directory of its artifacts."""

    recipe: Path
    artifacts: Path

    @property
    def name(self) -> str:
        """What its recipe calls it."""
        return read(self.recipe, CLASSIC.recipes).name

    @classmethod
    def find(cls, build: Path, name: str) -> Self:
        """The component of this name in GDK's directory `greengrass-build`.

        Raises:
            ComponentNotBuiltError: it is not there.
        """
        recipe = build / "recipes" / f"{name}.yaml"
        if recipe.is_file():
            artifacts = build / "artifacts" / name / read(recipe, CLASSIC.recipes).version
            if artifacts.is_dir():
                return cls(recipe, artifacts)
        raise ComponentNotBuiltError(
            f"{name} is not in {build}: build it first, with `make build` or `gdk component build`"
        )


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What the cloud template has made for devices: the thing group they join, the IoT policy of their certificates,
    and the IAM policy of the credentials they get."""

    thing_group: str
    iot_policy: str
    iam_policy_arn: str


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


class Fleet:
    """Devices for the time of a `with` block, by thing name in `devices`.

    The component's dependency com.fedgrass.Runtime, a Python environment with torch that takes minutes to install on a
    device, is not installed: an environment with the packages of this Python is put where it would be. All else
    the component gets as on a device.

    All nuclei share one thread. Their sockets are in `scratch`, which also sees to it that no component outlives this
    process; the rest is in `directory`.
    """

    def __init__(
        self,
        aws: EmbeddedAws,
        scratch: Scratch,
        directory: Path,
        component: BuiltComponent | str,
        access: Access,
        configurations: Mapping[str, Mapping[str, Any]],
        *,
        endpoint: str | None = None,
        nuclei: Sequence[Personality] = (CLASSIC,),
    ) -> None:
        """A component that is built is put on each device before its start; one that is only named is to be deployed.
        `configurations` is thing name -> what its own configuration of the component has; `endpoint` is where the
        components send their AWS calls, if not straight to `aws`; `nuclei` is what the devices run, one after the
        other, and again from the first."""
        self.devices: dict[str, Device] = {}
        self._aws = aws
        self._scratch = scratch
        self._directory = directory
        self._component = component
        self._access = access
        self._configurations = configurations
        self._endpoint = endpoint or aws.endpoint
        self._personalities = nuclei
        self._nuclei: Sequence[Nucleus] = ()
        self._loop: BackgroundLoop | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Register the things, start their nuclei, deploy the component; returns when every device is connected.

        Raises:
            DevicesOfflineError: devices are not connected in time; the text names them.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every component as its device would, and every nucleus."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.run(self._stop_all())
            loop.close()

    def holder(self, access_key_id: str) -> str | None:
        """The device that was given these credentials, None if none was."""
        return next((nucleus.thing for nucleus in self._nuclei if nucleus.credentials.gave(access_key_id)), None)

    def check(self) -> None:
        """Pass if no device has given up on the component, or could not have it.

        Raises:
            ComponentBrokenError: one has; the text has the end of the component's log.
        """
        for device in self.devices.values():
            if device.failure is not None:
                raise ComponentBrokenError(
                    f"the deployment to {device.thing} fails: {device.failure}; the end of the component's log:\n"
                    f"{device.log_tail}"
                )
            if device.state is ComponentState.BROKEN:
                raise ComponentBrokenError(
                    f"the component fails on {device.thing}; the end of its log:\n{device.log_tail}"
                )

    def _start(self) -> None:
        runtime = self._directory / ".runtime"  # no thing can have this name
        python_environment.create(runtime)
        identities = provisioning.register(
            self._aws.client("iot"),
            list(self._configurations),
            self._access.thing_group,
            self._access.iot_policy,
            self._directory,
        )
        role = TokenExchangeRole(self._aws.client("iam"), self._aws.client("sts"), self._access.iam_policy_arn)
        for identity in identities:
            work = self._directory / identity.thing / "work" / RUNTIME
            work.mkdir(parents=True)
            (work / "venv").symlink_to(runtime.resolve())
        self._loop = BackgroundLoop("fleet")
        try:
            self._loop.run(self._start_all(identities, role), START_LIMIT_S)
        except TimeoutError:
            offline = ", ".join(nucleus.thing for nucleus in self._nuclei if not nucleus.connected)
            raise DevicesOfflineError(
                f"not connected to AWS IoT within {START_LIMIT_S} s: {offline}; the log tells how they were refused, "
                f"and IoT policy {self._access.iot_policy} has to allow them iot:Connect"
            ) from None
        name = self._component if isinstance(self._component, str) else self._component.name
        self.devices = {nucleus.thing: Device(nucleus, self._loop, name) for nucleus in self._nuclei}

    async def _start_all(self, identities: Sequence[Identity], role: TokenExchangeRole) -> None:
        broker = Broker(host=BROKER_HOST, port=self._aws.mqtt_port, ca_path=self._aws.ca_path)
        greengrass = self._aws.greengrass
        cloud = Cloud(
            greengrass.best_recipe, ArtifactStore(role.assume_whole, self._s3), self._groups_of, frozenset({RUNTIME})
        )
        surroundings = Surroundings(
            self._aws.region, self._endpoint, broker, role.assume, cloud, greengrass.devices.report
        )
        self._nuclei = [
            Nucleus(
                personality,
                identity,
                self._directory / identity.thing,
                self._scratch.path / str(number),
                surroundings,
            )
            for number, (identity, personality) in enumerate(
                zip(identities, itertools.cycle(self._personalities), strict=False)
            )
        ]
        for nucleus in self._nuclei:
            configuration = self._configurations[nucleus.thing]
            if isinstance(self._component, BuiltComponent):
                await nucleus.deploy(self._component.recipe, self._component.artifacts, configuration)
            else:
                nucleus.components.set_own(self._component, configuration)
        await asyncio.gather(*(nucleus.start() for nucleus in self._nuclei))
        await asyncio.gather(*(nucleus.mqtt.wait_connected() for nucleus in self._nuclei))

    def _groups_of(self, thing: str) -> list[str]:
        pages = self._aws.client("iot").get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
        return [group["groupName"] for page in pages for group in page["thingGroups"]]

    def _s3(self, credentials: Credentials) -> Any:
        session: Any = boto3.Session(
            credentials.access_key_id, credentials.secret_access_key, credentials.token, self._aws.region
        )
        return session.client("s3", endpoint_url=self._aws.endpoint, config=Config(max_pool_connections=_DOWNLOADS))

    async def _stop_all(self) -> None:
        await asyncio.gather(*(nucleus.stop() for nucleus in self._nuclei))


async def _call(function: Any, *arguments: Any) -> None:
    function(*arguments)
