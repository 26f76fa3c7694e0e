"""What the tests of the components share."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.package_index import PackageIndex
from tests.components.installing import Device, Environments


@pytest.fixture
def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """Those of the session."""
    return Environments.of_this_run(tmp_path_factory)


@pytest.fixture
def device(tmp_path: Path, environments: Environments) -> Device:
    return Device(tmp_path, environments)


@pytest.fixture
def index(device: Device) -> Iterator[PackageIndex]:
    served = PackageIndex()
    device.index_url = served.url
    yield served
    served.close()
