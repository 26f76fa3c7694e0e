"""The dashboard in a browser: a round advances, a device fails and shows why, and the console says nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.dashboard.conftest import Served
from tests.cloud.simulated import SimulatedFederation
from tests.reporting.pictures.test_report import HOSTILE
from website.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt install chromium)")


@pytest.fixture
def browser(tmp_path: Path, served: Served) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as browser:
        browser.open(served.address)
        yield browser


def shown(name: str) -> str:
    return f"document.getElementById('{name}').textContent"


def row(thing: str) -> str:
    """The cells of a device's row, as an expression."""
    rows = "[...document.querySelectorAll('#fleet-table tbody tr')]"
    return f"{rows}.map(r => [...r.cells].map(c => c.textContent)).find(r => r[0] === '{thing}')"


@pytest.mark.timeout(600)
def test_a_round_advances_and_a_device_fails_and_shows_why(
    browser: Browser, served: Served, simulated: SimulatedFederation
) -> None:
    browser.until(f"{shown('headline')} === 'Round 1 of 2: open'")
    assert browser.ask(row("d2"))[1] == "asked"

    simulated.report_progress("d0", 1, "training")
    browser.until(f"{row('d0')}[1] === 'training'")
    simulated.report_progress("d2", 1, "failed", f"the sensor is wet {HOSTILE}")
    browser.until(f"{row('d2')}[1] === 'failed' && {row('d2')}[6].includes('the sensor is wet')")
    browser.until(f"{shown('present')}.includes('the sensor is wet')")
    browser.until(f"{shown('headline')} === 'Round 1 of 2: open, 1 device without an update'")

    for thing in ("d0", "d1"):
        simulated.answer(thing, 1, after={"accuracy": 0.5})
    browser.until(f"{shown('headline')}.startsWith('Round 2 of 2: open')")
    browser.until(f"{shown('learning')}.includes('accuracy')")
    browser.until(f"{shown('failures')}.includes('the sensor is wet')")
    browser.until(f"{row('d0')}[3] === '1 of 1' && {row('d2')}[3] === '0 of 1'")
    assert browser.ask("document.querySelectorAll('img').length + document.scripts.length") == 1

    browser.open(served.address)  # the page as it is for who comes now
    assert browser.ask("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size") == browser.ask(
        "document.querySelectorAll('[id]').length"
    )
    browser.ask("document.querySelector('#fleet-table button').click()")
    assert browser.ask("document.querySelector('#fleet-table th').getAttribute('aria-sort')") == "descending"
    assert browser.complaints == []


@pytest.mark.timeout(600)
def test_devices_are_searched_and_sorted_by_keyboard_and_what_is_open_stays_open(
    browser: Browser, served: Served, simulated: SimulatedFederation
) -> None:
    there = "[...document.querySelectorAll('#fleet-table tbody tr')].filter(r => !r.hidden)"
    names = f"{there}.map(r => r.cells[0].textContent).join()"
    browser.ask("document.getElementById('search').focus()")
    browser.type("D1")
    browser.until(f"{names} === 'd1'")
    assert browser.ask(shown("found")) == "1 of 3 devices"
    browser.ask("document.getElementById('search').select()")
    browser.type("")
    browser.until(f"{names} === 'd0,d1,d2'")

    browser.press("Tab")
    browser.press("Tab")
    assert browser.ask("document.activeElement.textContent") == "device"
    browser.press("Enter")
    browser.until(f"{names} === 'd2,d1,d0'")
    assert browser.ask("document.querySelector('#fleet-table th').getAttribute('aria-sort')") == "descending"
    browser.press("Tab")
    simulated.report_progress("d1", 1, "training")
    browser.until(f"{row('d1')}[1] === 'training'")
    browser.press("Enter")
    browser.until(f"{names} === 'd0,d2,d1'")
    simulated.report_progress("d2", 1, "uploading")
    browser.until(f"{names} === 'd0,d1,d2'")

    for thing in ("d0", "d1", "d2"):
        simulated.answer(thing, 1, after={"accuracy": 0.5})
    browser.until("document.querySelectorAll('#learning details').length === 1")
    browser.ask("document.querySelector('#learning summary').click()")
    browser.ask("document.querySelector('#learning summary').focus()")
    for thing in ("d0", "d1", "d2"):
        simulated.answer(thing, 2, after={"accuracy": 0.75})
    browser.until("document.querySelector('#learning details').textContent.includes('0.75')")
    assert browser.ask("document.querySelector('#learning details').open")
    assert browser.ask("document.activeElement === document.querySelector('#learning summary')")
    assert browser.complaints == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_not_wider_than_the_screen(tmp_path: Path, served: Served, width: int) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        browser.open(served.address)
        whole, seen = browser.ask("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert whole == seen
        assert seen == pytest.approx(width, abs=20)
        assert browser.complaints == []


@pytest.mark.timeout(600)
def test_a_page_whose_server_has_ended_says_so(browser: Browser, served: Served) -> None:
    browser.until(f"{shown('headline')} !== ''")
    served.process.kill()
    browser.until("!document.getElementById('trouble').hidden")
    assert "does not answer" in browser.ask(shown("trouble"))
