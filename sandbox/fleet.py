"""A fleet of devices on this machine: each a thing of the embedded AWS, with a stand-in nucleus and the component."""

import asyncio
import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from botocore.config import Config

from operations import aws_sessions
from sandbox import provisioning, python_environment
from sandbox.background_loop import BackgroundLoop
from sandbox.built_component import BuiltComponent
from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus.artifacts import ArtifactStore
from sandbox.nucleus.credentials import Credentials, TokenExchangeRole
from sandbox.nucleus.deployments import Cloud
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.nucleus.mqtt import Broker, Identity
from sandbox.nucleus.nucleus import Nucleus, Surroundings
from sandbox.nucleus.personality import CLASSIC, Personality
from sandbox.scratch import Scratch

logger = logging.getLogger(__name__)

RUNTIME = "com.fedgrass.Runtime"
BROKER_HOST = "127.0.0.1"
START_LIMIT_S = 120.0
_DOWNLOADS = 16


class ComponentBrokenError(RuntimeError):
    """A device has given up on the component, which failed again and again."""


class DevicesOfflineError(TimeoutError):
    """Devices could not connect to AWS IoT."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What the cloud template has made for devices: the thing group they join, the IoT policy of their certificates,
    and the IAM policy of the credentials they get."""

    thing_group: str
    iot_policy: str
    iam_policy_arn: str


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
        session: Any = aws_sessions.session(
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.token,
            region_name=self._aws.region,
        )
        return session.client("s3", endpoint_url=self._aws.endpoint, config=Config(max_pool_connections=_DOWNLOADS))

    async def _stop_all(self) -> None:
        await asyncio.gather(*(nucleus.stop() for nucleus in self._nuclei))
