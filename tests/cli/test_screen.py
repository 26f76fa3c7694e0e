"""cli/screen.py and cli/table.py: what is printed is all there is, on whatever it is printed to."""

import ast
import fcntl
import json
import logging
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from cli.screen import LogFormatter, Screen, write_json
from cli.table import Table
from cli.timeline import show_timeline
from cloud.state.records import ResponseRecord
from cloud.state.rounds import Responses
from tests.cloud.examples import report, round_record
from tests.paths import ROOT

HOSTILE = "[bold]x[/] [/data/*.csv] NDArray[float32] \x1b[31m\x07 \u202egnp.exe a\nerror: forged\r\x9b2J :smile: 温度"
SHOWN = r"[bold]x[/] [/data/*.csv] NDArray[float32] \x1b[31m\x07 \u202egnp.exe a\nerror: forged\r\x9b2J :smile: 温度"


def test_text_is_shown_as_it_is_and_controls_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().line(HOSTILE)
    Screen().table(Table(title=HOSTILE, columns=("name", HOSTILE), rows=[(HOSTILE, "1")]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(SHOWN in line for line in lines)


def test_an_errors_further_lines_are_set_in_so_that_none_is_taken_for_another_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Screen(stderr=True).error("two things:\nfirst [x]\nerror: second\x1b[0m")
    assert capsys.readouterr().err.splitlines() == [
        "error: two things:",
        "  first [x]",
        r"  error: second\x1b[0m",
    ]


def test_a_log_line_is_text_too() -> None:
    record = logging.LogRecord("sandbox", logging.WARNING, "", 1, "%s", (HOSTILE,), None)
    first, second = LogFormatter().format(record).split("\n")
    assert first.startswith("WARNING sandbox: [bold]x[/] ")
    assert second == r"  error: forged\r\x9b2J :smile: 温度"


def test_json_has_every_text_escaped_and_no_value_that_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"reason": HOSTILE, "path": os.fsdecode(b"caf\xe9"), "loss": float("nan"), "counts": {3: [1, 2.5]}}
    write_json(value)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert line.isascii()
    assert json.loads(line) == value | {"loss": None, "counts": {"3": [1, 2.5]}}


def test_lines_that_are_not_for_a_terminal_are_never_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "n" * 128
    Screen().line("word " * 100)
    Screen().table(Table(columns=("client", "a", "remark"), rows=[(name, "1", "x" * 300), ("b", "20", "y")]))
    assert capsys.readouterr().out.splitlines() == [
        "word " * 100,
        f"{'client':128}   a  {'remark':>300}",
        f"{name}   1  {'x' * 300}",
        f"{'b':128}  20  {'y':>300}",
    ]


def test_numbers_are_flush_right_and_texts_flush_left() -> None:
    table = Table(
        columns=("name", "n", "why"), rows=[("a", "1", "x"), ("温度", "100", "long")], texts=frozenset({"why"})
    )
    assert table.lines(None) == ["name    n  why", "a       1  x", "温度  100  long"]
    assert table.lines(16) == table.lines(None)


def test_a_table_that_has_no_room_becomes_blocks_with_nothing_cut() -> None:
    table = Table(columns=("name", "first", "second", "third"), rows=[("a" * 40, "1", "", "333"), ("b", "4", "5", "6")])
    assert table.lines(20) == ["a" * 40, "  first 1  third 333", "b", "  first 4  second 5", "  third 6"]


TIMELINE = """
import sys
from cli.screen import Screen
from cli.timeline import show_timeline
from tests.cli.test_screen import failing_round
show_timeline(Screen(), *failing_round())
"""


def failing_round() -> "tuple[object, Responses]":
    """A round of things with the longest names, one of which has failed for a long reason."""
    things = [f"{number}" + "n" * 127 for number in range(2)]
    reason = "train() of task.py: ValueError: " + "[x] " * 60
    failed = ResponseRecord(thing=things[0], state="failed", arrived_at=1001.0, inspected_at=1001.0, reason=reason)
    accepted = ResponseRecord(
        thing=things[1], state="accepted", arrived_at=1002.0, inspected_at=1002.0, report=report(things[1])
    )
    return round_record(*things), Responses(accepted=(accepted,), failed=(failed,))


def on_a_terminal(columns: int, *command: str) -> str:
    """What a command writes to a terminal of this width."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(command, cwd=ROOT, stdout=its, stderr=its, env=environment | {"TERM": "xterm"})
    os.close(its)
    written = b""
    try:
        while part := os.read(mine, 65536):
            written += part
    except OSError:
        pass  # EIO: the other end is closed
    os.close(mine)
    assert process.wait() == 0
    return written.decode().replace("\r\n", "\n")


def test_at_80_columns_names_and_reasons_are_whole() -> None:
    written = on_a_terminal(80, sys.executable, "-c", TIMELINE)
    lines = written.splitlines()
    assert "0" + "n" * 127 in lines
    assert "1" + "n" * 127 in lines
    assert any(line.endswith(" failed: train() of task.py: ValueError: " + "[x] " * 60) for line in lines)
    assert "  examples 10" in written


def test_piped_a_timeline_has_a_line_for_each_client_and_reasons_below(capsys: pytest.CaptureFixture[str]) -> None:
    record, responses = failing_round()
    show_timeline(Screen(), record, responses)  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0][:3] for line in lines[2:]] == ["cli", "0nn", "1nn", "ave", "clo", "0nn"]
    assert "failed" not in lines[3]
    assert "failed: train() of task.py" in lines[7]


@pytest.mark.parametrize("reason", [HOSTILE, "expected NDArray[float32]", "no file for [/data/*.csv]", "[unk]"])
def test_a_reason_in_the_timeline_is_shown_whole(capsys: pytest.CaptureFixture[str], reason: str) -> None:
    failed = ResponseRecord(thing="pi-7", state="failed", arrived_at=1.0, inspected_at=1.0, reason=reason)
    refused = ResponseRecord(thing="pi-8", state="refused", arrived_at=1.0, inspected_at=1.0, reason=reason)
    record = round_record("pi-7", status="aborted", reason=reason)
    show_timeline(Screen(), record, Responses(failed=(failed,), refused=(refused,)))
    lines = capsys.readouterr().out.splitlines()
    shown = SHOWN if reason == HOSTILE else reason
    assert lines[0].startswith(f"round 1 of f: aborted {shown}, opened ")
    assert lines[-2:] == [f"pi-7: failed: {shown}", f"pi-8: refused: {shown}"]


def test_nothing_but_the_screen_prints() -> None:
    for path in (ROOT / "cli").rglob("*.py"):
        if path.name == "screen.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and path.name != "main.py":
                assert ast.unparse(node) not in ("sys.stdout", "sys.stderr", "typer.echo"), path
            if isinstance(node, ast.Name):
                assert node.id not in ("print", "Console"), path
