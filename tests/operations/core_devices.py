"""What nuclei say of devices that are not there."""

from datetime import UTC, datetime, timedelta

from sandbox.embedded_aws import EmbeddedAws
from sandbox.greengrass.core_devices import CoreDevice, InstalledComponent

CLIENT, RUNTIME = "com.fedgrass.Client", "com.fedgrass.Runtime"


def report(aws: EmbeddedAws, thing: str, *, days_ago: float = 0, **states: str) -> None:
    """What the nucleus of a device says: the states of our components."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    names = {"client": CLIENT, "runtime": RUNTIME}
    installed = tuple(
        InstalledComponent(
            name=names[which], version="1.2.3", state=state, is_root=which == "client", changed_at=at, deployment="d"
        )
        for which, state in states.items()
    )
    aws.greengrass.devices.report(
        CoreDevice(
            thing=thing,
            nucleus="2.16.0",
            runtime="aws_nucleus_classic",
            platform="linux",
            architecture="aarch64",
            reported_at=at,
            components=installed,
        )
    )
