"""cli/watching.py: how long AWS may be out of reach while a federation is watched."""

import socket
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from cli.display import Display
from cli.screen import Screen
from cli.watching import GONE, Patience, watch
from cloud.state.records import FederationRecord
from reporting.view import View


class _Looking:
    """Looks, or finds AWS out of reach, as it is told."""

    record: FederationRecord

    def __init__(self, *found: View | Exception) -> None:
        self._found = iter(found)

    def look(self) -> View:
        found = next(self._found)
        if isinstance(found, Exception):
            raise found
        return found


def test_aws_that_is_out_of_reach_for_a_moment_is_waited_for_but_not_at_the_beginning() -> None:
    away = EndpointConnectionError(endpoint_url="http://aws")
    patience, looking = Patience(), _Looking(View(round=1), away, View(round=2))
    assert patience.look(looking) == View(round=1)
    assert "AWS can't be reached" in str(patience.look(looking))
    assert patience.look(looking) == View(round=2)
    with pytest.raises(EndpointConnectionError):
        Patience().look(_Looking(away))


def test_what_does_not_pass_is_not_waited_for() -> None:
    refused = ClientError({"Error": {"Code": "ValidationException", "Message": "no"}}, "GetItem")
    patience, looking = Patience(), _Looking(View(), refused)
    patience.look(looking)
    with pytest.raises(ClientError):
        patience.look(looking)


def test_a_minute_out_of_reach_is_too_long() -> None:
    away = EndpointConnectionError(endpoint_url="http://aws")
    now = [0.0]
    patience, looking = Patience(lambda: now[0]), _Looking(View(), away, away)
    patience.look(looking)
    now[0] = 59.0
    patience.look(looking)
    now[0] = 61.0
    with pytest.raises(EndpointConnectionError):
        patience.look(looking)


@pytest.fixture
def closed_port() -> int:
    """On loopback; nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("kind", [EndpointConnectionError, ConnectionClosedError, ReadTimeoutError])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_run_on_this_machine_that_has_ended_ends_what_watches_it_without_an_error(
    kind: Callable[..., Exception], host: str, closed_port: int
) -> None:
    away = kind(endpoint_url=f"http://{host}:{closed_port}/", error="gone")
    seen = watch(_Looking(View(round=8, rounds=10), away), Display(Screen(quiet=True)), lambda _: None)
    assert (seen.round, seen.rounds, seen.state) == (8, 10, GONE)


def test_one_that_listens_still_or_is_on_another_machine_is_waited_for(closed_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        busy = ReadTimeoutError(endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}/", error="busy")
        elsewhere = EndpointConnectionError(endpoint_url=f"https://dynamodb.eu-west-1.amazonaws.com:{closed_port}/")
        without_port = EndpointConnectionError(endpoint_url="https://127.0.0.1/")
        patience, looking = Patience(), _Looking(View(), busy, elsewhere, without_port)
        patience.look(looking)
        for _ in range(3):
            assert isinstance(patience.look(looking), str)
