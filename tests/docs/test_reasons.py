"""What an operator finds in docs/operating.md and docs/security.md is what devices and functions say."""

import ast
import re
from functools import cache

import pytest

from tests.docs.markdown import prose, spans, table
from tests.paths import ROOT

ROOMS = ("cloud", "components", "fedgrass", "operations", "protocol", "cli")
CUT = re.compile(r"\.\.\.|`[^`]*`|\(.*?\)|\d[\d.]* ?°?C?|\bn\b|[:;,]")
"""What stands for something else in a reason, or between two of them."""


@cache
def texts() -> list[str]:
    """All texts in the code, with their values left out."""
    found = []
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values))
    return found


def parts(reason: str) -> list[str]:
    return [part for piece in CUT.split(reason) if (part := piece.strip())]


def said(part: str) -> bool:
    return any(part in text for text in texts())


@pytest.mark.parametrize("columns", [("phase and reason",), ("reason", "meaning")])
def test_reasons_are_those_that_devices_and_functions_give(columns: tuple[str, ...]) -> None:
    reasons = [reason for reason, *_ in table("docs/operating.md", *columns).rows]
    assert [part for reason in reasons for part in parts(reason) if not said(part)] == []


def test_reasons_are_those_that_devices_give_for_a_tasks_errors() -> None:
    given = [text for _, text in table("docs/tasks.md", "what happens").rows]
    after = [reason for text in given for reason in re.split(r"`(?:failed|declined)`:?", text)[1:]]
    reasons = [re.split("[,;]", re.sub("`[^`]*`", "...", reason))[0] for reason in after]
    assert [part for reason in reasons for part in parts(reason) if not said(part)] == []


def test_the_line_of_an_event_is_one_that_is_logged() -> None:
    listed = {what: spans(where) for what, where in table("docs/operating.md", "what", "where").rows}
    line = listed["events"][-2].strip('"')
    shape = re.sub(r"=\w+", "=", line.replace("closed:", ":"))
    assert any(re.sub("%[sd]", "", text).strip() == shape for text in texts())


def test_lines_to_look_for_in_logs_are_written_there() -> None:
    rows = [row for row in table("docs/operating.md", "look at", "if you see").rows if row[0].endswith("'s log")]
    assert rows
    assert [line for _, see, _ in rows for line in spans(see) if not said(line.removesuffix("...").strip())] == []


def test_the_reasons_of_refusals_are_listed_where_updates_are_checked() -> None:
    source = (ROOT / "cloud" / "averager" / "responses" / "inspection.py").read_text()
    given = set(re.findall(r'RefusedError\(\s*f?"([a-z -]+)', source))
    assert "sender mismatch" in given
    listed = set(spans(prose(ROOT / "docs" / "security.md")))
    assert given <= listed
    assert all(said(reason) for reason in given | {"another life", "unknown round"})
