"""lint/findings.py: what is accepted is accepted where it is, and for as long as it is there."""

from lint.findings import ACCEPTED, Accepted, Finding, verdict

STAYS = Accepted("RULE_1", ("Bucket", "Queue"), "It has to be so.")
IN_BUCKET, IN_QUEUE = Finding("RULE_1", "Bucket", "not good"), Finding("RULE_1", "Queue", "not good")


def test_what_is_accepted_need_not_be_mended() -> None:
    assert list(verdict([IN_BUCKET, IN_QUEUE], [STAYS])) == []


def test_what_is_accepted_in_one_place_is_not_in_another_nor_is_another_rule() -> None:
    elsewhere, other = Finding("RULE_1", "Table", "not good"), Finding("RULE_2", "Bucket", "worse")
    assert list(verdict([IN_BUCKET, IN_QUEUE, elsewhere, other], [STAYS])) == [
        "RULE_1 Table: not good",
        "RULE_2 Bucket: worse",
    ]


def test_what_is_accepted_and_gone_has_to_be_struck_out() -> None:
    assert list(verdict([IN_BUCKET], [STAYS])) == ["RULE_1 Queue: accepted in lint/findings.py, and not found"]


def test_every_finding_that_is_accepted_has_its_reason() -> None:
    assert len({each.rule for each in ACCEPTED}) == len(ACCEPTED)
    assert all(each.places and each.reason.endswith(".") for each in ACCEPTED)
