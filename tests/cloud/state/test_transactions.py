"""cloud/state/transactions.py: all or none, and again where two met."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloud.state.clients import ClientHistory, Clients


class CancelledError(ClientError):
    """A transaction that did not happen."""


class Busy:
    """DynamoDB, where the first transactions meet others on the same items."""

    exceptions = SimpleNamespace(TransactionCanceledException=CancelledError)

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.written: list[str] = []

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> None:  # noqa: N803
        if self.reasons:
            answer: Any = {"Error": {"Code": "TransactionCanceledException"}}
            raise CancelledError(answer | {"CancellationReasons": [{"Code": self.reasons.pop(0)}]}, "Transact")
        self.written += [write["Update"]["Key"]["thing"]["S"] for write in TransactItems]


def remember(dynamodb: Any, *things: str) -> None:
    histories = [ClientHistory(thing=thing, turnaround_s=1.0, missed=0, last_round=1) for thing in things]
    Clients(dynamodb, "clients").record_histories("f", histories)


def test_histories_are_written_though_clients_say_hello_at_that_moment() -> None:
    dynamodb = Busy("TransactionConflict", "TransactionConflict")
    remember(dynamodb, "a", "b")
    assert dynamodb.written == ["a", "b"]


def test_a_transaction_that_can_not_be_carried_out_is_told_of() -> None:
    with pytest.raises(CancelledError):
        remember(Busy("ValidationError"), "a")
