"""operations/concurrency.py: what a stack asks of an account that runs few invocations at once."""

import pytest

from operations.concurrency import carried, for_account
from sandbox.embedded_aws import EmbeddedAws


def test_an_account_that_runs_many_at_once_is_asked_for_many(aws: EmbeddedAws) -> None:
    found = for_account(aws.client("lambda"), {}, {})
    assert (found.parameters, found.note) == ({"Concurrency": "many"}, "")


@pytest.mark.parametrize("limit", [10, 47])
def test_a_new_account_is_asked_for_ten_at_most_and_that_is_said_with_the_remedy(limit: int) -> None:
    found = carried(limit, limit, {}, {})
    assert found.parameters == {"Concurrency": "few"}
    assert f"this account runs {limit} invocations at once" in found.note
    assert "request-service-quota-increase --service-code lambda --quota-code L-B99A9384" in found.note


@pytest.mark.parametrize(
    ("limit", "unreserved", "asked", "present", "reserved"),
    [
        (10, 10, {"AveragerConcurrency": "1"}, {}, False),
        (10, 10, {}, {"InitiatorConcurrency": "0"}, None),
        (50, 50, {"AveragerConcurrency": "5"}, {}, False),
        (1000, 1000, {"AveragerConcurrency": "900"}, {}, True),
        (1000, 1000, {"AveragerConcurrency": "901"}, {}, False),
        (1000, 1000, {"AveragerConcurrency": "500", "InitiatorConcurrency": "401"}, {}, False),
        (1000, 100, {}, {"AveragerConcurrency": "900"}, True),  # what it has reserved is its own
        (1000, 100, {"AveragerConcurrency": "901"}, {"AveragerConcurrency": "900"}, False),
        (1000, 90, {"AveragerConcurrency": "890"}, {"AveragerConcurrency": "900"}, True),
        (10, 5, {}, {"AveragerConcurrency": "5"}, False),  # the account's limit was lowered
        (1000, 1000, {"AveragerConcurrency": "many"}, {}, None),  # CloudFormation says what is wrong with it
    ],
)
def test_what_the_account_cannot_reserve_is_not_reserved_and_that_is_said(
    limit: int, unreserved: int, asked: dict[str, str], present: dict[str, str], reserved: bool | None
) -> None:
    found = carried(limit, unreserved, asked, present)
    none = {"InitiatorConcurrency": "0", "AveragerConcurrency": "0"}
    assert (none.items() <= found.parameters.items()) == (reserved is False)
    assert ("nothing is reserved" in found.note) == (reserved is False)
