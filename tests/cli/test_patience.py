"""cli/watching.py: how long AWS may be out of reach while a federation is watched."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from cli.watching import Patience
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
