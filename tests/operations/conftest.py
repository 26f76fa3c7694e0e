"""What tests of an operator's steps share."""

from collections.abc import Iterator

import pytest

from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws


@pytest.fixture
def nowhere(aws: EmbeddedAws, deployed: Deployment) -> Iterator[None]:
    """No role has the stack's policy yet."""
    iam = aws.client("iam")
    roles = iam.list_entities_for_policy(PolicyArn=deployed.device_policy_arn, EntityFilter="Role")["PolicyRoles"]
    for each in roles:
        iam.detach_role_policy(RoleName=each["RoleName"], PolicyArn=deployed.device_policy_arn)
    yield
    for each in roles:
        iam.attach_role_policy(RoleName=each["RoleName"], PolicyArn=deployed.device_policy_arn)
