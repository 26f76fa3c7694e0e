"""Every table of DynamoDB and every key of S3: from the stack's template, and the records and names that are kept."""

from collections.abc import Iterator

import msgspec

from cloud.state.records import (
    ClientRecord,
    CohortMember,
    FederationRecord,
    FleetCount,
    ResponseRecord,
    RoundRecord,
    Work,
)
from protocol import names
from website.markdown import code, docstring, table
from website.reference.fields import of_struct
from website.reference.messages import FEDERATION, THING
from website.reference.stack import resources

RECORDS: dict[str, type[msgspec.Struct]] = {
    "FederationsTable": FederationRecord,
    "ClientsTable": ClientRecord,
    "RoundsTable": RoundRecord,
    "ResponsesTable": ResponseRecord,
}
"""What is in each table, by its name in the template."""

_WITHIN = (FleetCount, CohortMember, Work)
_LIFE, _ROUND = "0123abcd", 7


def keys() -> Iterator[tuple[str, str]]:
    """Each kind of key in the bucket, and what is there."""
    for of_round in (names.model_key, names.bfloat16_key, names.optimizer_key, names.last_updates_key, names.ema_key):
        yield of_round(FEDERATION, _ROUND, _LIFE), docstring(of_round)
    yield names.partial_key(FEDERATION, _ROUND, "...", _LIFE), docstring(names.partial_key)
    yield names.update_key(FEDERATION, _ROUND, THING, _LIFE), docstring(names.update_key)
    yield names.former_update_key(FEDERATION, _ROUND, THING, _LIFE), docstring(names.former_update_key)


def page() -> str:
    """The page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield "# Tables and objects\n"
    yield "## Objects in S3\n"
    yield f"In the stack's bucket, of round {_ROUND} of {code(FEDERATION)}, whose life is {code(_LIFE)}.\n"
    yield table(("key", "what it is"), ((code(key), about) for key, about in keys()))
    yield "## Tables in DynamoDB\n"
    yield "An attribute with an inner structure is JSON in a text. Attributes may be added.\n"
    for name, about in resources("AWS::DynamoDB::Table").items():
        yield f"### {name}\n"
        yield f"Its key is {_key(about)}. " + "".join(
            f"The index {code(index['IndexName'])} has {_key(index)}. "
            for index in about.get("GlobalSecondaryIndexes", ())
        )
        yield f"\n{of_struct(RECORDS[name])}"
    for kind in _WITHIN:
        yield f"### {kind.__name__}\n\n{of_struct(kind)}"


def _key(about: dict[str, list[dict[str, str]]]) -> str:
    return " and ".join(code(part["AttributeName"]) for part in about["KeySchema"])
