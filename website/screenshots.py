"""python -m website.screenshots FOLDER: takes the pictures of what people see anew. It takes some minutes, and needs
chromium."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from website.browser import Browser
from website.terminal import picture_of, screen_of

RUN = "runs/digits"
PROJECT = "flowers"
_FEDGRASS = [sys.executable, "-m", "cli.main"]
_SANDBOX = ["--name", "screenshots", "--json"]
_SECRETS = re.compile(r"^export AWS_ENDPOINT_URL=.*")
_FAR_ENOUGH = r"(?s)round +7\b.*so far, estimated"
"""What a picture of some rounds ends with: less would cut it off."""

VIEWS = {"": (1280, 1500), "-narrow": (390, 1500)}
"""The pictures of a page, by what is added to its name: how wide and how high."""


def take(folder: Path) -> None:
    """Take all of them: a demo on a terminal, the report of its run, and a federation while it is watched.

    Raises:
        NoBrowserError: chromium is not installed.
        TerminalError: what is shown has failed.
    """
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        with Browser(directory / "profile") as browser:
            lines = screen_of([*_FEDGRASS, "demo", "--out", RUN], directory)
            shown = [_SECRETS.sub("export AWS_ENDPOINT_URL=... AWS_ACCESS_KEY_ID=... ...", line) for line in lines]
            (folder / "demo.svg").write_text(picture_of(shown, "make demo"))
            photograph(browser, (directory / RUN / "report.html").as_uri(), folder, "report")
            with sandbox(directory) as environment:
                fedgrass(directory, environment, "start", PROJECT)
                watching = [*_FEDGRASS, "watch", PROJECT]
                lines = screen_of(watching, directory, environment, _FAR_ENOUGH)
                (folder / "watch.svg").write_text(picture_of(lines, f"fedgrass watch {PROJECT}"))
                with dashboard(directory, environment) as address:
                    photograph(browser, address, folder, "dashboard")


def photograph(browser: Browser, address: str, folder: Path, name: str) -> None:
    """The views of a page."""
    browser.open(address)
    browser.until("document.querySelectorAll('svg').length > 0")
    for added, (width, height) in VIEWS.items():
        (folder / f"{name}{added}.png").write_bytes(browser.photograph(width, height))


def fedgrass(directory: Path, environment: Mapping[str, str], *words: str) -> dict[str, Any]:
    """What a command gives."""
    command = [*_FEDGRASS, *words, *([] if "--json" in words else ["--json"])]
    ran = subprocess.run(command, cwd=directory, env=dict(environment), check=True, capture_output=True, text=True)
    envelope: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return envelope["result"]  # type: ignore[no-any-return]


@contextmanager
def sandbox(directory: Path) -> Iterator[dict[str, str]]:
    """A sandbox with a new project: the environment in which commands work on it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    own["XDG_STATE_HOME"] = str(directory / "state")
    fedgrass(directory, own, "new", PROJECT, "--template", "vision")
    settings = directory / PROJECT / "federation.yaml"
    settings.write_text(re.sub(r"^rounds: \d+", "rounds: 60", settings.read_text(), flags=re.MULTILINE))
    up = fedgrass(directory, own, "sandbox", "up", PROJECT, *_SANDBOX)
    try:
        yield own | up["sandbox"]["environment"]
    finally:
        fedgrass(directory, own, "sandbox", "down", *_SANDBOX)


@contextmanager
def dashboard(directory: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a dashboard."""
    command = [*_FEDGRASS, "dashboard", PROJECT]
    with subprocess.Popen(
        command, cwd=directory, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said: IO[str] = process.stdout  # type: ignore[assignment]
        yield next(found[0] for line in said if (found := re.search(r"http://127\.0\.0\.1:\d+/?", line)))
        process.terminate()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
