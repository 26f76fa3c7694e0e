"""One machine's whole world: the embedded AWS with fedgrass deployed to it, and a directory that goes away with it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cloud.settings import Federation
from components import build
from operations import deployment, packaging
from operations.control import Operations
from operations.deployment import Deployment
from sandbox import kept_files, publishing
from sandbox.built_component import BuiltComponent
from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Access, Fleet
from sandbox.gateway import Fault, Gateway
from sandbox.nucleus.personality import CLASSIC, Personality
from sandbox.publishing import Published
from sandbox.scratch import Scratch

STACK = "fedgrass"
_RUNTIME = Path(build.__file__).parent / "runtime"


class Sandbox:
    """For the time of a `with` block. `policies` is federation -> its policies.py; `call_latency_s` delays every AWS
    call of the functions, to stand for the distance to AWS; `port` and `rollout_minute_s` are as for EmbeddedAws. With
    a `fault`, the AWS calls of functions and devices alike (those for credentials and over MQTT aside) go where it
    decides on each. What there is of the sandbox at its end, however that comes, is kept in the folder `keep`.

    Attributes, once entered: path: a scratch directory. aws: the embedded AWS. deployment: the stack in it. operations:
    what an operator can do with it."""

    path: Path
    aws: EmbeddedAws
    deployment: Deployment
    operations: Operations

    def __init__(
        self,
        *,
        policies: Mapping[str, bytes] | None = None,
        call_latency_s: float | None = None,
        fault: Fault | None = None,
        port: int = 0,
        keep: Path | None = None,
        rollout_minute_s: float = 60.0,
    ) -> None:
        self._policies = dict(policies or {})
        self._call_latency_s = call_latency_s
        self._fault = fault
        self._port = port
        self._keep = keep
        self._rollout_minute_s = rollout_minute_s

    def __enter__(self) -> Self:
        # What pip may have to fetch comes before anything is started.
        layer = packaging.dependencies(packaging.this_machine(), packaging.cache_directory())
        with ExitStack() as stack:
            self._scratch = stack.enter_context(Scratch())
            self.path = self._scratch.path
            gateway = None
            if self._call_latency_s is not None or self._fault is not None:
                gateway = stack.enter_context(Gateway(self._call_latency_s or 0.0, self._fault))
            functions_endpoint = gateway.endpoint if gateway else None
            self.aws = stack.enter_context(
                EmbeddedAws(
                    self.path / "aws",
                    functions_endpoint=functions_endpoint,
                    port=self._port,
                    rollout_minute_s=self._rollout_minute_s,
                )
            )
            if self._keep is not None:
                stack.callback(kept_files.keep, self._keep, self.aws, self._fleet_directory)
            if gateway:
                gateway.upstream = self.aws.endpoint
            self._devices_endpoint = gateway.endpoint if gateway and self._fault else self.aws.endpoint
            self.deployment = deployment.deploy(self.aws.client, STACK, packaging.code(self._policies), layer)
            self.operations = Operations(self.aws.client, self.deployment)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def fleet(
        self,
        component: BuiltComponent,
        settings: Federation,
        datasets: Mapping[str, Path],
        nuclei: Sequence[Personality] = (CLASSIC,),
        **configuration: Any,
    ) -> Iterator[Fleet]:
        """Devices that take part in a federation: thing name -> the directory of its data. The component is published,
        and deployed to their thing group with `configuration`. `nuclei` is as for Fleet."""
        access = Access(
            thing_group=settings.thing_group or f"fedgrass-{settings.name}",
            iot_policy=self.deployment.device_iot_policy_name,
            iam_policy_arn=self.deployment.device_policy_arn,
        )
        configurations = {thing: {"dataset": str(path)} for thing, path in datasets.items()}
        fleet = Fleet(
            self.aws,
            self._scratch,
            self._fleet_directory,
            component.name,
            access,
            configurations,
            endpoint=self._devices_endpoint,
            nuclei=nuclei,
        )
        with ThreadPoolExecutor(1, thread_name_prefix="publish") as beside:
            published = beside.submit(self._publish, component)
            with fleet:
                publishing.let_devices_read(self.aws.client)
                common = {"federation": settings.name, "bucket": self.deployment.bucket}
                components = {published.result(): common | configuration}
                publishing.deploy(self.aws.client, access.thing_group, components)
                yield fleet

    def _publish(self, component: BuiltComponent) -> Published:
        runtime = build.build(_RUNTIME, self.path / "runtime-build")
        publishing.publish(self.aws.client, runtime.recipe, runtime.artifacts)
        return publishing.publish(self.aws.client, component.recipe, component.artifacts)

    @property
    def _fleet_directory(self) -> Path:
        return self.path / "fleet"
