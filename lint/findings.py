"""Findings, and which of them are accepted, with the reason."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Finding(NamedTuple):
    """What a linter has found: its rule, the place in the template, and its words."""

    rule: str
    place: str
    text: str


class Accepted(NamedTuple):
    """Findings of one rule that stay, at these places and at no other."""

    rule: str
    places: tuple[str, ...]
    reason: str


_TABLES = ("FederationsTable", "ClientsTable", "RoundsTable", "ResponsesTable")
_QUEUES = (
    "RoundsQueue",
    "RoundsDeadLetters",
    "HelloQueue",
    "UpdatesQueue",
    "ControlQueue",
    "ShardsQueue",
    "UpdatesDeadLetters",
)
_FUNCTIONS = ("Initiator", "Averager")
_LOGS = ("InitiatorLogs", "AveragerLogs")

ACCEPTED = (
    Accepted(
        "CKV_AWS_18",
        ("Bucket",),
        "S3's access log would need a second bucket, which only grows. CloudTrail's data events tell the same, if they "
        "are turned on.",
    ),
    Accepted(
        "CKV_AWS_119",
        _TABLES,
        "The tables are encrypted with DynamoDB's own key. One of the customer's costs more, and whoever may read a "
        "table would be allowed to use it in any case.",
    ),
    Accepted(
        "CKV_AWS_27",
        _QUEUES,
        "The queues are encrypted with SQS's own key, which the rule does not know. S3, which sends into one of them, "
        "can't use the key that AWS has for SQS in KMS.",
    ),
    Accepted(
        "CKV_AWS_158",
        _LOGS,
        "The logs are encrypted with CloudWatch's own key. They have names, sizes and reasons, no models and no data.",
    ),
    Accepted(
        "CKV_AWS_116",
        _FUNCTIONS,
        "Their queues have dead-letter queues. The one event that comes without a queue, the wake-up, comes again in "
        "five minutes.",
    ),
    Accepted(
        "CKV_AWS_117",
        _FUNCTIONS,
        "They call AWS's public endpoints and nothing else. In a VPC each of these would need an endpoint, paid by the "
        "hour.",
    ),
    Accepted(
        "CKV_AWS_173",
        _FUNCTIONS,
        "Their environment has names of resources, and no secret.",
    ),
)


def verdict(findings: Sequence[Finding], accepted: Sequence[Accepted] = ACCEPTED) -> Iterator[str]:
    """What has to be mended: findings that are not accepted, and what is accepted though nobody finds it."""
    found = {(finding.rule, finding.place) for finding in findings}
    excused = {(each.rule, place) for each in accepted for place in each.places}
    for finding in findings:
        if (finding.rule, finding.place) not in excused:
            yield f"{finding.rule} {finding.place}: {finding.text}"
    for rule, place in sorted(excused - found):
        yield f"{rule} {place}: accepted in lint/findings.py, and not found"
