"""Records as the functions of a user's policies.py see them (`fedgrass.policies`)."""

from collections.abc import Iterable

from cloud.state.records import ClientRecord, ResponseRecord, RoundRecord
from fedgrass.policies import Client, Round


def client_view(record: ClientRecord) -> Client:
    """A client's record as custom functions see it."""
    return Client(**{name: getattr(record, name) for name in Client.__struct_fields__})


def round_view(record: RoundRecord, responses: Iterable[ResponseRecord], now: float) -> Round:
    """A round's record as custom functions see it."""
    return Round(
        federation=record.federation,
        number=record.round,
        cohort=tuple(member.thing for member in record.cohort),
        accepted=record.accepted,
        refused=record.refused,
        target=record.target,
        quorum=record.quorum,
        elapsed_s=now - record.opened_at,
        reports={
            response.thing: response.report
            for response in responses
            if response.state == "accepted" and response.report is not None
        },
    )
