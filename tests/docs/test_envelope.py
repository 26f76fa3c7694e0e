"""docs/commands.md says how commands end, and with which errors: all of them."""

import json

import pytest

from cli.errors.kind import MEANINGS
from cli.errors.table import KINDS
from tests.cli.running import fedgrass
from tests.docs.markdown import Table, spans, table

DOCUMENT = "docs/commands.md"


def rows_of(found: Table) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in found.rows]


def test_the_statuses_are_all_listed() -> None:
    assert rows_of(table(DOCUMENT, "status", "meaning")) == [
        f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()
    ]


def test_the_errors_are_all_listed() -> None:
    kinds = sorted(KINDS, key=lambda kind: (kind.exit_code, kind.code))
    assert rows_of(table(DOCUMENT, "code", "status", "meaning")) == [
        f"| `{kind.code}` | {int(kind.exit_code)} | {kind.meaning} |" for kind in kinds
    ]


@pytest.mark.parametrize("words", [("--version", "--json"), ("status", "--no-such-option", "--json")])
def test_the_fields_of_the_envelope_are_all_listed(words: tuple[str, ...]) -> None:
    known = {name for row in table(DOCUMENT, "field", "what it is").rows for name in spans(row[0])}
    assert json.loads(fedgrass(*words).out).keys() <= known
