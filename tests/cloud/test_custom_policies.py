"""cloud/custom_policies.py: loading policies.py, and what it is told when it can't be used."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud import custom_policies
from cloud.custom_policies import InvalidPolicyError, call, load
from cloud.state.records import ResponseRecord
from cloud.state.views import round_view
from protocol.messages import MAX_INTEGER
from tests.cloud.examples import federation, report, round_record
from tests.paths import ROOT

CUSTOM = federation(completion="custom", pacing={"policy": "custom"})
WHOLE = "def is_complete(round):\n    return round.accepted > 1\n\ndef next_round_delay(last):\n    return 1.5\n"


def written(directory: Path, text: str) -> Path:
    (directory / custom_policies.FILE_NAME).write_text(text)
    return directory


def test_nothing_is_loaded_where_nothing_is_asked_for(tmp_path: Path) -> None:
    assert load(written(tmp_path, "raise RuntimeError"), federation()) is None


def test_the_functions_that_the_settings_ask_for_are_loaded(tmp_path: Path) -> None:
    module = load(written(tmp_path, WHOLE), CUSTOM)
    assert module is not None
    assert module.is_complete(round_view(round_record("a", accepted=2), [], 0.0))
    assert module.next_round_delay(None) == 1.5


def test_what_an_earlier_version_has_deployed_still_loads_and_is_not_to_be_written_any_more(tmp_path: Path) -> None:
    written(tmp_path, "from cloud.policies import Client, Round, Update\n" + WHOLE)
    code = (
        "import sys; from pathlib import Path; from cloud import custom_policies as loading\n"
        "from tests.cloud.test_custom_policies import CUSTOM\n"
        "try: loading.load(Path(sys.argv[1]), CUSTOM)\n"
        "except loading.InvalidPolicyError as error: print(error)\n"
        "print(loading.load_deployed(Path(sys.argv[1]), CUSTOM).next_round_delay(None))"
    )
    said = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    refused, delay = said.stdout.splitlines()
    assert "No module named 'cloud.policies'" in refused
    assert delay == "1.5"


def test_a_missing_file_is_named_with_what_needs_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicyError, match=rf"'f' asks for custom is_complete, .*{tmp_path}/policies\.py"):
        load(tmp_path, CUSTOM)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def is_complete(round)\n", "SyntaxError"),
        ("import no_such_module\n", "no_such_module"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("\0", "null bytes"),
    ],
)
def test_a_file_that_does_not_load_is_named_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(InvalidPolicyError, match=rf"policies\.py doesn't load: .*{reason}"):
        load(written(tmp_path, text), CUSTOM)


@pytest.mark.parametrize("text", ["", "def is_complete(round): ...\n", WHOLE + "next_round_delay = 1.5\n"])
def test_a_missing_function_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidPolicyError, match=r"has no function (is_complete|next_round_delay), which .* 'f'"):
        load(written(tmp_path, text), CUSTOM)


def test_policies_may_use_dataclasses_with_postponed_annotations(tmp_path: Path) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"
    assert load(written(tmp_path, text + WHOLE), CUSTOM) is not None


def test_two_federations_have_their_own_rules(tmp_path: Path) -> None:
    modules = []
    for name, delay in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        text = f"def next_round_delay(last):\n    return {delay}\n"
        settings = federation(name=name, pacing={"policy": "custom"})
        modules.append(load(written(tmp_path / name, text), settings))
    assert [module.next_round_delay(None) for module in modules if module] == [1, 2]


def test_policies_know_the_file_that_they_are_in(tmp_path: Path) -> None:
    """So they can read what lies beside them."""
    text = "from pathlib import Path\nDELAY = float((Path(__file__).parent / 'delay.txt').read_text())\n"
    (tmp_path / "delay.txt").write_text("2.5")
    module = load(written(tmp_path, text + WHOLE.replace("return 1.5", "return DELAY")), CUSTOM)
    assert module is not None
    assert module.next_round_delay(None) == 2.5


def test_a_file_that_is_changed_within_a_second_is_loaded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it says, not by its time and length, which are all that Python compares. Nothing is left beside it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for delay in (1.5, 2.5):
        written(tmp_path, WHOLE.replace("1.5", str(delay)))
        os.utime(tmp_path / custom_policies.FILE_NAME, (1_000_000_000, 1_000_000_000))
        module = load(tmp_path, CUSTOM)
        assert module is not None
        assert module.next_round_delay(None) == delay
    assert [path.name for path in tmp_path.iterdir()] == [custom_policies.FILE_NAME]


@pytest.mark.parametrize(
    ("returned", "kind", "text"),
    [(1, bool, "bool"), ("yes", bool, "bool"), (None, float, "float"), ({}, list[str], "array")],
)
def test_a_wrong_value_of_a_rule_is_told_with_its_name(returned: Any, kind: Any, text: str) -> None:
    def is_complete(round_seen: object) -> Any:
        return returned

    with pytest.raises(InvalidPolicyError, match=rf"is_complete returned a wrong value: .*{text}"):
        call(is_complete, kind, None)


def test_an_error_in_a_rule_is_told_with_its_name() -> None:
    def is_complete(round_seen: object) -> bool:
        raise KeyError("battery")

    with pytest.raises(InvalidPolicyError, match="is_complete failed: KeyError: 'battery'"):
        call(is_complete, bool, None)


def test_arrays_come_through_a_rule_as_they_are() -> None:
    array = np.arange(3)
    assert call(lambda: {"w": array}, dict[str, Any])["w"] is array


def test_a_rule_sees_the_reports_of_the_accepted_updates_only() -> None:
    responses = [
        ResponseRecord(thing="a", state="accepted", arrived_at=1.0, inspected_at=1.0, report=report("a")),
        ResponseRecord(thing="b", state="refused", arrived_at=1.0, inspected_at=1.0, reason="late"),
    ]
    view = round_view(round_record("a", "b", accepted=1, refused=1, quorum=1), responses, 1010.0)
    assert view.reports == {"a": report("a")}
    assert (view.federation, view.number, view.cohort) == ("f", 1, ("a", "b"))
    assert (view.accepted, view.refused, view.target, view.quorum, view.elapsed_s) == (1, 1, 2, 1, 10.0)


def test_the_documented_is_complete_takes_no_one_client_s_word(tmp_path: Path) -> None:
    page = Path(custom_policies.__file__).parents[1] / "docs" / "tasks.md"
    example = next(block for block in page.read_text().split("```python\n") if "def is_complete" in block)
    (tmp_path / "policies.py").write_text(example.partition("```")[0])
    module = load(tmp_path, CUSTOM)
    assert module is not None

    def is_complete(*examples: int) -> bool:
        answers = [
            ResponseRecord(
                thing=f"t{n}",
                state="accepted",
                arrived_at=1.0,
                inspected_at=1.0,
                report=report(f"t{n}", examples=count),
            )
            for n, count in enumerate(examples)
        ]
        record = round_record(*(f"t{n}" for n in range(20)), accepted=len(answers))
        return bool(module.is_complete(round_view(record, answers, 0.0)))

    assert not is_complete(MAX_INTEGER)
    assert not is_complete(MAX_INTEGER, *[50] * 17)
    assert is_complete(*[100] * 10)
    assert is_complete(*[1] * 20)
