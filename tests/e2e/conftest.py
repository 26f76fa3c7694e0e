"""What the end-to-end tests share."""

import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which this process listens, so that nobody else can."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
