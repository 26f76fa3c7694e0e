"""What the tests of the dashboard share: the command, while a federation goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from tests.cloud.simulated import SimulatedFederation
from tests.paths import ROOT

THINGS = ("d0", "d1", "d2")


class Served:
    """The command, and the address of its page."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process = process
        self.address = address
        self.host = urlsplit(address).netloc

    def get(self, path: str, method: str = "GET", **headers: str) -> HTTPResponse:
        """The answer, whose body is not read yet; with another Host, if one is given."""
        connection = HTTPConnection("127.0.0.1", urlsplit(self.address).port or 0, timeout=120)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse()


@pytest.fixture
def served(simulated: SimulatedFederation) -> Iterator[Served]:
    """A page of a federation of two rounds, the first of which is open."""
    simulated.create(THINGS, rounds=2, quorum=1, target="100%", deadline_s=600)
    simulated.start()
    simulated.opened(1)
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "dashboard", simulated.name],
        cwd=ROOT,
        env=os.environ | simulated.aws.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        for said in process.stdout:
            if said.startswith("http://"):
                break
        assert said.startswith("http://127.0.0.1:"), process.stderr and process.stderr.read()
        yield Served(process, said.split()[0])
        process.kill()
