"""The versions that AWS IoT Greengrass has of a component: `python -m operations.component_versions NAME`."""

import argparse
import re
import sys
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from operations.pages import listed

FIRST = "1.0.0"
"""What GDK gives a component that has no version yet."""

_QUICK = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def component_arn(greengrass: Any, sts: Any, name: str) -> str:
    """The ARN of a component of this account, whether it is there or not; its versions are below it."""
    caller = sts.get_caller_identity()
    partition = caller["Arn"].split(":")[1]
    return f"arn:{partition}:greengrass:{greengrass.meta.region_name}:{caller['Account']}:components:{name}"


def published(greengrass: Any, arn: str) -> list[str]:
    """The versions of a component, the highest first; none if there is no such component."""
    versions = listed(greengrass, "list_component_versions", "componentVersions", arn=arn)
    try:
        return [version["componentVersion"] for version in versions]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise


def next_patch(versions: list[str]) -> str:
    """The version after the highest of these, as GDK counts."""
    found = [tuple(map(int, match.groups())) for version in versions if (match := _NUMBERS.match(version))]
    if not found:
        return FIRST
    major, minor, patch = max(found)
    return f"{major}.{minor}.{patch + 1}"


def main() -> int:
    """Prints them, one a line."""
    parser = argparse.ArgumentParser(description="Print the versions that AWS has of a component, the highest first.")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--region", help="the Region to look in (default: that of your AWS configuration)")
    arguments = parser.parse_args()
    session = boto3.Session(region_name=arguments.region)
    try:
        greengrass, sts = (session.client(service, config=_QUICK) for service in ("greengrassv2", "sts"))
        versions = published(greengrass, component_arn(greengrass, sts, arguments.name))
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{version}\n" for version in versions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
