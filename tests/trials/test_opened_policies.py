"""Attacks that policies stop are accepted when the policies allow everything: none is refused for want of trying."""

import json
import re
from collections.abc import Iterator

import pytest

from operations import deployment, packaging
from sandbox.embedded_aws import EmbeddedAws
from trials.attacks.attack import Attack
from trials.attacks.catalogue import ATTACKS
from trials.attacks.target import Arena

EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
STOPPED_OTHERWISE_TOO = {
    "store-in-an-archive",
    "encrypt-with-its-own-key",
    "encrypt-with-a-key-of-its-choice",
    "keep-objects-for-ever",
}
"""By the averager, the bucket's policy, or S3, whose bucket has no object lock."""

DESTRUCTIVE = {"read-and-write-the-tables", "replace-the-functions-code", "change-the-stack"}
"""After these there would be no stack to attack."""

STOPPED_BY_POLICIES = [
    attack
    for attack in ATTACKS
    if re.search("DevicePolicy|IoT policy", attack.control) and attack.name not in STOPPED_OTHERWISE_TOO | DESTRUCTIVE
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Where a member's certificate and credentials allow everything."""
    with EmbeddedAws(tmp_path_factory.mktemp("aws") / "embedded") as aws:
        layer = packaging.dependencies(packaging.this_machine(), packaging.cache_directory())
        deployed = deployment.deploy(aws.client, "fedgrass", packaging.code({}), layer)
        iot, iam = aws.client("iot"), aws.client("iam")
        iot.create_policy_version(
            policyName=deployed.device_iot_policy_name, policyDocument=EVERYTHING, setAsDefault=True
        )
        iam.create_policy_version(PolicyArn=deployed.device_policy_arn, PolicyDocument=EVERYTHING, SetAsDefault=True)
        arena = Arena(aws, deployed, tmp_path_factory.mktemp("members"))
        yield arena
        arena.close()


@pytest.mark.parametrize("tried", STOPPED_BY_POLICIES, ids=lambda tried: tried.name)
def test_what_a_policy_stops_is_accepted_without_it(opened: Arena, tried: Attack) -> None:
    verdict = tried.attempt(opened.target(tried.name, tried.scene))
    assert verdict.accepted, verdict.because
