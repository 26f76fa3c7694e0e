"""The names of things in this account and region."""

import msgspec


class Arns(msgspec.Struct, frozen=True):
    """Makes them, and takes them apart."""

    region: str
    account: str

    def component(self, name: str, version: str, account: str | None = None) -> str:
        """Of a version of a component."""
        return f"arn:aws:greengrass:{self.region}:{account or self.account}:components:{name}:versions:{version}"

    def without_version(self, arn: str) -> str:
        """Of the component whose version this is."""
        return arn.partition(":versions:")[0]

    def is_of_aws(self, arn: str) -> bool:
        """Whether it is a component of AWS, not of this account."""
        return arn.split(":")[4] == "aws"

    def deployment(self, identifier: str) -> str:
        """Of a deployment."""
        return f"arn:aws:greengrass:{self.region}:{self.account}:deployments:{identifier}"

    def core_device(self, thing: str) -> str:
        """Of a core device."""
        return f"arn:aws:greengrass:{self.region}:{self.account}:coreDevices:{thing}"

    def configuration(self, target_arn: str, revision: int) -> str:
        """Of what a target is to run."""
        kind, name = target_of(target_arn)
        return f"arn:aws:greengrass:{self.region}:{self.account}:configuration:{kind}:{name}:{revision}"

    def job(self, identifier: str) -> str:
        """Of an IoT job."""
        return f"arn:aws:iot:{self.region}:{self.account}:job/{identifier}"


def target_of(arn: str) -> tuple[str, str]:
    """A deployment's target: "thing" or "thinggroup", and its name."""
    kind, _, name = arn.split(":", 5)[5].partition("/")
    return kind, name
