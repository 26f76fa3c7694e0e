"""What is read in a policy that denies expelled things, and what is left in it."""

import json
from typing import Any

import pytest

from operations.role_denials import Denials, UnreadablePolicyError, denying, read

OURS: dict[str, Any] = json.loads(denying("pi-1"))["Statement"][0]
KEY = "credentials-iot:ThingName"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"Sid": "Another"},
        {"Action": ["*"], "Resource": ["*"]},
        {"Condition": {"StringEquals": {KEY: "pi-1"}}},
        {"Condition": {"StringLike": {KEY: ["pi-1"]}}},
        {"Condition": {"StringEquals": {KEY.lower(): ["pi-1"]}}},
    ],
)
def test_a_deny_by_name_is_understood_however_it_is_written(change: dict[str, Any]) -> None:
    for statements in (OURS | change, [OURS | change]):
        assert read({"Version": "2012-10-17", "Statement": statements}) == Denials(frozenset({"pi-1"}))


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Allow"},
        {"Action": "s3:*"},
        {"Resource": {"what": 1}},
        {"NotAction": "s3:*"},
        {"Condition": None},
        {"Condition": {"StringLike": {KEY: "pi-*"}}},
        {"Condition": {"StringEquals": {KEY: 5}}},
        {"Condition": {"StringEquals": {KEY: ["pi-1"], "aws:SourceIp": "1"}}},
        {"Condition": {"StringEquals": {KEY: ["pi-1"]}, "Bool": {"aws:SecureTransport": "true"}}},
        {"Condition": {"StringNotEquals": {KEY: ["pi-1"]}}},
    ],
)
def test_a_statement_of_another_meaning_is_kept_beside(change: dict[str, Any]) -> None:
    found = read({"Version": "2012-10-17", "Id": "mine", "Statement": OURS | change})
    assert found == Denials(frozenset(), (OURS | change,), {"Version": "2012-10-17", "Id": "mine"})
    written = json.loads(Denials(frozenset({"pi-2"}), found.other_statements, found.head).document)
    assert (written["Id"], written["Statement"][0]) == ("mine", OURS | change)
    assert [statement.get("Sid") for statement in written["Statement"]] == ["Expelled", None]
    assert read(written).things == {"pi-2"}


@pytest.mark.parametrize("document", [None, 5, [], "no JSON", "[]", {"Statement": 5}, {"Statement": [5]}])
def test_what_is_no_policy_is_refused(document: object) -> None:
    with pytest.raises(UnreadablePolicyError):
        read(document)
