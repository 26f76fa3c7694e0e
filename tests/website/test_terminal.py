"""Pictures of what people see: of a program on a terminal, and of a page in a browser."""

import sys
from pathlib import Path

import pytest

from website.browser import CHROMIUM, Browser
from website.outside import outside
from website.terminal import TerminalError, picture_of, screen_of

MOVING = """
from cli.screen import Screen

screen = Screen()
screen.start_moving()
for number in range(3):
    screen.picture(f"{number} so far", "and more below")
    screen.line(f"{number} is done")
screen.stop_moving()
screen.line("all is done", "bold")
"""


def test_what_moved_is_gone_and_what_was_said_stays(tmp_path: Path) -> None:
    lines = [line.rstrip() for line in screen_of([sys.executable, "-c", MOVING], tmp_path)]
    assert lines == ["0 is done", "1 is done", "2 is done", "\x1b[1mall is done\x1b[0m"]


def test_a_program_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="no such thing"):
        screen_of([sys.executable, "-c", "import sys; sys.exit('no such thing')"], tmp_path)


def test_a_picture_of_a_terminal_has_its_text_and_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "terminal.svg").write_text(picture_of(["\x1b[1mmake\x1b[0m <demo>"], "make demo"))
    text = (tmp_path / "terminal.svg").read_text()
    assert "make" in text
    assert "&lt;demo&gt;" in text
    assert outside(tmp_path) == []


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt install chromium)")
def test_a_page_is_photographed_as_wide_as_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<!doctype html><p>x")
    with Browser(tmp_path / "profile") as browser:
        browser.open((tmp_path / "page.html").as_uri())
        header = browser.photograph(390, 300)[:24]
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (390, 300)


def test_a_program_may_be_ended_when_it_has_said_something(tmp_path: Path) -> None:
    endless = "import time; print('far enough', flush=True); time.sleep(600)"
    assert screen_of([sys.executable, "-c", endless], tmp_path, until="far enough")[0] == "far enough"
