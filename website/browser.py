"""A browser without a window, driven through a pipe: what it shows, and what its console says."""

import base64
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.polling import eventually

CHROMIUM = shutil.which("chromium")

_KEYS = {"Tab": 9, "Enter": 13}


class NoBrowserError(Exception):
    """There is no browser to look at pages with."""


class BrowserError(Exception):
    """The browser does not do what it is asked for, or has ended."""


class Browser:
    """Chromium, for the time of a `with` block; its protocol is that of its developer tools, a JSON text to a NUL."""

    def __init__(self, profile: Path, width: int = 1280) -> None:
        """Raises:
        NoBrowserError: chromium is not installed.
        """
        if CHROMIUM is None:
            raise NoBrowserError("chromium is not installed (Debian: apt install chromium)")
        self._program = CHROMIUM
        self._profile = profile
        self._width = width
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        its_in, self._out = os.pipe()
        self._in, its_out = os.pipe()
        options = (
            *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
            *(f"--window-size={self._width},900", f"--user-data-dir={self._profile}", "about:blank"),
        )
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$0" "$@" 3<&{its_in} 4>&{its_out}', self._program, *options],
            pass_fds=(its_in, its_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_in)
        os.close(its_out)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(60)
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, **parameters: Any) -> Any:
        """What the browser answers to a command; what its console says meanwhile is noted."""
        number = next(self._numbers)
        session = {} if self._session is None else {"sessionId": self._session}
        message = {"id": number, "method": method, "params": parameters} | session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            self._note(answer)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, address: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page. The page's policy allows no such thing to scripts of its own."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise BrowserError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Return when it is true."""
        return eventually(lambda: self.ask(expression), expression)

    def photograph(self, width: int, height: int) -> bytes:
        """A PNG of the upper end of the page, as it is in a window of this size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def press(self, key: str) -> None:
        """A key."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=_KEYS[key], **text)

    def type(self, text: str) -> None:
        """Into what has the focus."""
        self.call("Input.insertText", text=text)

    def _read(self) -> Any:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 20)
            if not part:
                raise BrowserError("chromium has ended")
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def _note(self, answer: Any) -> None:
        said = answer.get("params", {})
        match answer.get("method"):
            case "Runtime.consoleAPICalled":
                self.complaints.append(f"console.{said['type']}: {said['args']}")
            case "Runtime.exceptionThrown":
                self.complaints.append(str(said["exceptionDetails"]))
            case "Log.entryAdded":
                self.complaints.append(said["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requested(said["request"]["url"])
            case _:
                pass

    def requested(self, url: str) -> None:
        """The page has asked for something."""
        if not url.startswith(("http://127.0.0.1:", "about:", "data:")):
            self.complaints.append(f"asked for {url}")
