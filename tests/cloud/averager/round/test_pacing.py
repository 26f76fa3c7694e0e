"""cloud/averager/round/pacing.py: when the next round opens."""

import math
from typing import Any

import msgspec
import pytest

from cloud.averager.round.pacing import EndedRound, not_before
from cloud.custom_policies import InvalidPolicyError
from cloud.settings import Pacing
from cloud.state.views import round_view
from fedgrass.policies import Round
from tests.cloud.examples import round_record

OPENED_AT = 1000.0
LAST = round_view(round_record("a", "b", opened_at=OPENED_AT), [], now=1030.0)
ENDED = EndedRound(round=LAST, opened_at=OPENED_AT)


def test_at_once_waits_for_nothing() -> None:
    assert not_before(Pacing(), ENDED) == 0.0


def test_a_fixed_rate_counts_from_the_opening_of_the_last_round() -> None:
    assert not_before(Pacing(policy="fixed_rate", interval_s=60.0), ENDED) == 1060.0


def test_a_round_that_waits_for_clients_opens_some_time_after_the_last_one_ended_at_the_latest() -> None:
    assert not_before(Pacing(policy="when_ready", ready=5, wait_s=600.0), ENDED) == 1630.0


@pytest.mark.parametrize(
    ("wanted", "ready", "clients", "is_enough"),
    [
        ("60%", 5, 10, False),
        ("60%", 6, 10, True),
        ("1%", 0, 10, False),
        (3, 2, 10, False),
        (3, 3, 10, True),
        (3, 2, 2, True),
        ("60%", 0, 0, False),
        (None, 10, 10, False),
    ],
)
def test_a_share_or_a_number_of_all_clients_is_enough(
    wanted: str | int | None, ready: int, clients: int, is_enough: bool
) -> None:
    assert Pacing(ready=wanted).is_enough(ready, clients) is is_enough


def test_custom_pacing_counts_from_the_end_of_the_last_round() -> None:
    seen = []

    def next_round_delay(last: Round) -> float:
        seen.append(last)
        return 15

    assert (
        not_before(Pacing(policy="custom"), msgspec.structs.replace(ENDED, next_round_delay=next_round_delay)) == 1045.0
    )
    assert seen == [LAST]


@pytest.mark.parametrize("returned", [-1.0, math.nan, math.inf, 1e300, "soon", None])
def test_what_is_no_number_of_seconds_is_refused(returned: Any) -> None:
    def next_round_delay(last: Round) -> Any:
        return returned

    with pytest.raises(InvalidPolicyError, match="next_round_delay"):
        not_before(Pacing(policy="custom"), msgspec.structs.replace(ENDED, next_round_delay=next_round_delay))


def test_a_rule_that_was_not_loaded_is_told() -> None:
    with pytest.raises(InvalidPolicyError, match="no next_round_delay"):
        not_before(Pacing(policy="custom"), ENDED)
