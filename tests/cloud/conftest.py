"""What the tests of the functions share."""

import itertools
import re
from collections.abc import Iterator

import pytest

from cloud.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from tests.cloud.simulated import SimulatedFederation

_numbers = itertools.count(1)


@pytest.fixture
def simulated(aws: EmbeddedAws, deployed: Deployment, request: pytest.FixtureRequest) -> Iterator[SimulatedFederation]:
    """A federation that no other test has; stopped when the test is over."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    federation = SimulatedFederation(aws, deployed, f"{words[:30].strip('-')}-{next(_numbers)}")
    yield federation
    federation.stop()
