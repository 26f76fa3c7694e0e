"""What a device is sent of a deployment, by an IoT job."""

from collections.abc import Mapping
from typing import Any

import msgspec

from sandbox.nucleus.components import ConfigurationUpdate


class SentComponent(msgspec.Struct, frozen=True, rename="camel"):
    """A component that the target is to run."""

    version: str
    configuration_update: ConfigurationUpdate = msgspec.field(default_factory=ConfigurationUpdate)
    run_with: Mapping[str, Any] = msgspec.field(default_factory=dict)


class UpdatePolicy(msgspec.Struct, frozen=True):
    """Whether components are asked before they are updated, and how many seconds they have for the answer."""

    action: str
    timeout: float


class DeploymentDocument(msgspec.Struct, frozen=True, rename="camel"):
    """All of it, as far as the stand-in heeds it."""

    deployment_id: str
    configuration_arn: str
    components: Mapping[str, SentComponent]
    failure_handling_policy: str
    component_update_policy: UpdatePolicy
    on_behalf_of: str = ""

    def target(self, *, knows_subdeployments: bool) -> str:
        """What it is for, without the revision: of a subdeployment the group that it is on behalf of, if the nucleus
        knows them."""
        target = self.configuration_arn.rpartition(":")[0]
        if not self.on_behalf_of or not knows_subdeployments:
            return target
        return f"{target.rpartition(':')[0]}:{self.on_behalf_of.rpartition('/')[2]}"

    @property
    def updates(self) -> dict[str, ConfigurationUpdate]:
        """By component."""
        return {name: component.configuration_update for name, component in self.components.items()}
