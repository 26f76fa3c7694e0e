"""python -m website.screenshots FOLDER: takes the pictures of what people see anew. It takes some minutes, and needs
chromium."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from website.terminal import picture_of, screen_of

RUN = "runs/digits"
_SECRETS = re.compile(r"^export AWS_ENDPOINT_URL=.*")

_FRAME = """<!doctype html><style>body {{ margin: 0 }} iframe {{ border: 0 }}</style>
<iframe width="{width}" height="{height}" src="{page}"></iframe>"""
"""No window of a browser is narrower than 500 pixels, but a frame is."""

VIEWS = {"report.png": (1280, 1500), "report-narrow.png": (390, 1500)}
"""The pictures of a run's report: how wide and how high."""


class NoBrowserError(Exception):
    """There is no browser to take pictures of pages with."""


def take(folder: Path) -> None:
    """Take all of them: a demo on a terminal, and the report of its run.

    Raises:
        NoBrowserError: chromium is not installed.
        TerminalError: the demo has failed.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise NoBrowserError("chromium is not installed (Debian: apt install chromium)")
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        lines = screen_of([sys.executable, "-m", "cli.main", "demo", "--out", RUN], directory)
        shown = [_SECRETS.sub("export AWS_ENDPOINT_URL=... AWS_ACCESS_KEY_ID=... ...", line) for line in lines]
        (folder / "demo.svg").write_text(picture_of(shown, "make demo"))
        for name, (width, height) in VIEWS.items():
            photograph(chromium, directory / RUN / "report.html", width, height, folder / name)


def photograph(chromium: str, page: Path, width: int, height: int, picture: Path) -> None:
    """A picture of the upper end of a page."""
    frame = page.with_name("frame.html")
    frame.write_text(_FRAME.format(width=width, height=height, page=page.name))
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={page.parent}/profile"),
        *(f"--window-size={width},{height}", f"--screenshot={picture.resolve()}"),
    ]
    subprocess.run([chromium, *options, frame.as_uri()], check=True, capture_output=True, timeout=300)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
