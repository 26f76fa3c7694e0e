"""What the tests of the components share."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.package_index import PackageIndex
from tests.components.installing import Device


@pytest.fixture
def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment = tmp_path_factory.mktemp("made") / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    return environment


@pytest.fixture
def device(tmp_path: Path, made: Path) -> Device:
    shutil.rmtree(made / "installed", ignore_errors=True)
    return Device(tmp_path, made)


@pytest.fixture
def index(device: Device) -> Iterator[PackageIndex]:
    served = PackageIndex()
    device.index_url = served.url
    yield served
    served.close()
