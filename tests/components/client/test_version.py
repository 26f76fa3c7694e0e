"""Which version the component says that it is."""

from pathlib import Path

import pytest

from components import client

SOURCE = client.version(Path("/checkout/components/client"))


@pytest.mark.parametrize("deployed", ["1.0.0", "1.0.27", "2.0.0-rc.1", "1.0.0+build.7"])
def test_it_is_the_one_that_was_deployed(deployed: str) -> None:
    packed = Path(f"/greengrass/v2/packages/artifacts/com.example.Leaves/{deployed}/client.zip/components/client")
    assert client.version(packed) == deployed


@pytest.mark.parametrize(
    "package",
    [
        "/build/artifacts/com.fedgrass.Client/NEXT_PATCH/client.zip/components/client",
        "/releases/1.0.0/fedgrass/components/client",
        "/somewhere/client.zip/components/client",
        "client.zip/components/client",
    ],
)
def test_what_was_not_deployed_is_of_the_sources_version(package: str) -> None:
    assert client.version(Path(package)) == SOURCE == client.__version__
