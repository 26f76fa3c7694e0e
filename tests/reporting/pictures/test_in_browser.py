"""A report in a browser: it complains of nothing, obeys the policy, and fits a wide screen, a narrow one, and paper."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reporting.pictures.report import report
from tests.reporting.pictures.examples import run_of, with_costs
from tests.reporting.pictures.pages import parsed
from tests.reporting.pictures.test_report import hostile_run

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt install chromium)")


def chromium(page: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    assert CHROMIUM is not None
    base = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={page.parent}/p",
    )
    return subprocess.run(
        [CHROMIUM, *base, *options, page.as_uri()], capture_output=True, text=True, check=True, timeout=180
    )


def complaints(error: str) -> list[str]:
    """What a page's console would show."""
    return [line for line in error.splitlines() if ":CONSOLE" in line]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "report.html").write_text(report(with_costs(run_of(devices=20, rounds=30))))
    return tmp_path / "report.html"


def test_a_browser_has_no_complaint_and_the_tree_that_was_written(page: Path) -> None:
    ran = chromium(page, "--dump-dom")
    assert complaints(ran.stderr) == []
    shown, written = parsed(ran.stdout), parsed(page.read_text())
    assert [one.name for one in shown.all()] == [one.name for one in written.all()]


def test_hostile_texts_neither_run_nor_load(page: Path) -> None:
    page.write_text(report(hostile_run()))
    ran = chromium(page, "--dump-dom")
    assert complaints(ran.stderr) == []
    assert not {one.name for one in parsed(ran.stdout).all()} & {"script", "img"}


def test_what_would_be_smuggled_in_is_stopped_by_the_policy(page: Path) -> None:
    smuggled = "<script>document.title = 'run'</script><img src='x.png'><p style='color: red'>x</p></main>"
    page.write_text(page.read_text().replace("</main>", smuggled))
    ran = chromium(page, "--dump-dom")
    assert len(complaints(ran.stderr)) >= 3
    assert parsed(ran.stdout).first("title").text == "meadow: a run of fedgrass"


MEASURING = """<script>
const root = document.documentElement, plane = document.querySelector(".plane svg[role=img]");
const line = document.querySelector(".plane .line");
parent.postMessage([root.scrollWidth, root.clientWidth, Math.round(plane.getBoundingClientRect().width),
  getComputedStyle(line).stroke, getComputedStyle(root).backgroundColor].join(";"), "*");
</script>"""

FRAME = """<!doctype html><title>not yet</title><script>onmessage = told => document.title = told.data</script>
<iframe width="{width}" height="900" frameborder="0" src="{page}"></iframe>"""
"""No window is narrower than 500 pixels."""


def measured(page: Path, width: int, *options: str) -> list[str]:
    """Widths of the page, of what is seen of it, and of its first plot; the colors of its first line and of itself."""
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    page.write_text(policy.sub("", page.read_text()).replace("</body>", f"{MEASURING}</body>"))
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(width=width, page=page.name))
    return parsed(chromium(frame, "--dump-dom", *options).stdout).first("title").text.split(";")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_is_not_wider_than_the_screen(page: Path, width: int) -> None:
    whole, seen, plot, *_ = measured(page, width)
    assert whole == seen
    assert int(seen) == pytest.approx(width, abs=20)
    assert int(plot) > 150


def test_colors_are_dark_where_the_reader_wants_them_dark(page: Path) -> None:
    dark, light = (measured(page, 800, f"--blink-settings=preferredColorScheme={scheme}")[3:] for scheme in (0, 1))
    assert light[1] == "rgb(255, 255, 255)"
    assert dark[1] == "rgb(15, 20, 25)"
    assert dark[0] != light[0]
