"""docs/runs.md says what is in a run folder: every file, field, column and word for a state."""

from typing import Any, get_args

import msgspec
import pytest

from reporting.clients_file import MAX_METRICS
from reporting.records import FILES, STEPS, ClientRow, ClientState, RoundLine, RunStatus, Source, Summary, Totals
from tests.docs.markdown import spans, tables
from tests.paths import ROOT

FIRST, SECOND = tables("docs/runs.md", "field", "what it says")
(COLUMNS,) = tables("docs/runs.md", "column", "what it says")


def names(table: Any) -> list[str]:
    return [name for row in table.rows for name in spans(row[0])]


def said_of(table: Any, field: str) -> set[str]:
    (text,) = (text for name, text in table.rows if field in spans(name))
    return set(spans(text))


@pytest.mark.parametrize(("table", "kind"), [(FIRST, RoundLine), (COLUMNS, ClientRow), (SECOND, Summary)])
def test_each_field_has_its_row_in_its_order(table: Any, kind: type[msgspec.Struct]) -> None:
    fields = [field.encode_name for field in msgspec.structs.fields(kind)]
    assert names(table) == [field for field in fields if (kind, field) != (ClientRow, "metrics")]


def test_each_file_is_listed() -> None:
    (files,) = tables("docs/runs.md", "file", "what it is")
    assert names(files) == list(FILES)


def test_the_words_of_choices_are_all_told() -> None:
    assert said_of(FIRST, "split") == set(STEPS)
    assert said_of(COLUMNS, "state") == set(get_args(ClientState))
    assert said_of(SECOND, "source") == set(get_args(Source))
    assert said_of(SECOND, "status") == set(get_args(RunStatus))
    assert said_of(SECOND, "totals") == set(Totals.__struct_fields__)
    assert f"at most {MAX_METRICS} in all" in (ROOT / "docs" / "runs.md").read_text()
