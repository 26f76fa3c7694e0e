"""What all tests share: the embedded AWS with fedgrass deployed on it, started once, by the first test that asks."""

from collections.abc import Iterator

import hypothesis
import pytest

from cloud import deployment, package
from cloud.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws

# A busy machine is no failure.
hypothesis.settings.register_profile("fedgrass", deadline=None, print_blob=True)
hypothesis.settings.load_profile("fedgrass")


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    """An AWS for the whole session."""
    with EmbeddedAws(tmp_path_factory.mktemp("aws") / "embedded") as embedded:
        yield embedded


@pytest.fixture(scope="session")
def deployed(aws: EmbeddedAws) -> Deployment:
    """cloud/template.yaml, deployed as `fedgrass deploy` does it."""
    dependencies = package.dependencies(package.this_machine(), package.cache_directory())
    return deployment.deploy(aws.client, "fedgrass", package.code({}), dependencies)
