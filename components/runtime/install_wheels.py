"""Installs wheels into the environment whose Python runs it:  install_wheels.py REQUIREMENTS WHEELS INDEX_URL

Each wheel has one of the hashes that the list names for it, and comes from this one index; a list that names none is
refused. What pip is told on this machine, by its configuration or by PIP_ variables, does not count. The environment's
proxies do.

One wheel after the other is downloaded into the directory WHEELS, verified, installed, noted in the environment, and
deleted. Run again after it was cut off, it goes on with the wheel that it was at, where the download was; so a card
needs room for one wheel besides the environment.

pip alone begins each download anew, and keeps nothing of a run that was cut off. It does the rest: this asks its finder
where a wheel is, and gets it in its session.
These are pip's own modules, not an interface that it promises: the names used are the same from pip 22.3 to 26.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pip._internal.commands.download import DownloadCommand
from pip._internal.exceptions import PipError
from pip._internal.req import parse_requirements
from pip._internal.req.constructors import install_req_from_parsed_requirement
from pip._vendor.requests.exceptions import RequestException
from pip._vendor.urllib3.exceptions import HTTPError

WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0, 60.0)
"""Before each new attempt after one that brought nothing. Nucleus lite starts a step that fails three times an hour
only, and so an outage of the line should not fail it."""

CHUNK_BYTES = 1 << 14
"""What is lost of a download at most when it is killed."""

_MEGABYTE = 1e6


class InstallError(Exception):
    """A wheel cannot be had, or not be installed; the text says which one, and why."""


class _LineError(Exception):
    """The line, or the index, fails at the moment."""


class Installation:
    """The wheels of one list of requirements, on their way into `environment`, which is that of this Python. `sleep` is
    for the waits."""

    def __init__(
        self,
        environment: Path,
        requirements: Path,
        wheels: Path,
        index_url: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Raises:
            InstallError: a requirement has no hash, or leaves open which version it is.
        """
        self._wheels = wheels
        self._sleep = sleep
        self._noted = environment / "installed"
        # `isolated` leaves out PIP_ variables and the user's configuration; this leaves out the machine's as well.
        os.environ["PIP_CONFIG_FILE"] = os.devnull
        # The list is complete: pip must neither add to it nor compile. What fails is tried again here.
        self._command = DownloadCommand("download", "", isolated=True)
        arguments = ["--requirement", str(requirements), "--index-url", index_url, "--retries", "0"]
        arguments += ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"]
        self._options, _ = self._command.parse_args(arguments)
        self._session: Any = self._command._build_session(self._options)
        parsed = parse_requirements(str(requirements), session=self._session)
        every: list[Any] = list(map(install_req_from_parsed_requirement, parsed))
        for requirement in every:
            if not requirement.hash_options or not requirement.is_pinned:
                raise InstallError(f"{requirements} has to say which version and which hashes {requirement.req} has")
        self._requirements = [requirement for requirement in every if requirement.match_markers()]

    def run(self) -> None:
        """Install what is not installed yet.

        Raises:
            InstallError: there is no such wheel, or it could not be had or installed; what is done is done.
        """
        self._wheels.mkdir(exist_ok=True)
        self._noted.mkdir(exist_ok=True)
        for number, requirement in enumerate(self._requirements, 1):
            note = self._noted / str(requirement.req)
            if note.exists():
                continue
            sys.stdout.write(f"{number} of {len(self._requirements)}: {requirement.req}\n")
            sys.stdout.flush()
            try:
                wheel = self._get(requirement)
                self._install(wheel)
                os.sync()
                note.touch()
            except OSError as error:
                free_mb = self._free_bytes() / _MEGABYTE
                raise InstallError(f"cannot install {requirement.req}: {error}; {free_mb:.0f} MB are free") from error
            if wheel.parent == self._wheels:
                wheel.unlink()

    def _get(self, requirement: Any) -> Path:
        """A wheel that is all here, and is the one that was asked for."""
        link = self._persist(lambda: self._find(requirement), lambda: 0, f"cannot find {requirement.req}")
        hashes = requirement.hash_options
        wheel = Path(link.file_path) if link.is_file else self._wheels / Path(link.filename).name
        resumed = wheel.exists()
        if resumed and _is_whole(wheel, hashes):
            return wheel
        while not link.is_file:
            self._persist(lambda: self._download(link, wheel), lambda: _size(wheel), f"cannot download {wheel.name}")
            if _is_whole(wheel, hashes):
                return wheel
            wheel.unlink()
            if not resumed:
                break
            resumed = False  # its beginning was of another file, or spoilt by a power cut
        raise InstallError(
            f"what {link.url_without_fragment} gives has none of the hashes that it should have, {hashes}"
        )

    def _find(self, requirement: Any) -> Any:
        # pip remembers what a finder found, so each time it is a new one.
        finder = self._command._build_package_finder(options=self._options, session=self._session)
        best = finder.find_best_candidate(
            requirement.name, requirement.specifier, requirement.hashes(trust_internet=False)
        ).best_candidate
        if best is not None:
            return best.link
        failure = f"No matching distribution found for {requirement.req}"
        others = {str(candidate.version) for candidate in finder.find_all_candidates(requirement.name)}
        if others:
            raise InstallError(f"{failure}, for this Python and machine; there are {', '.join(sorted(others))}")
        raise _LineError(f"{failure}: the index has none of that name, or was not reached")

    def _download(self, link: Any, wheel: Path) -> None:
        begun = _size(wheel)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
        try:
            with self._session.get(link.url_without_fragment, headers=headers, stream=True) as response:
                if response.status_code == 416:  # it is shorter than what is here
                    wheel.unlink()
                    raise _LineError("its length has changed")
                if 400 <= response.status_code < 500 and response.status_code not in (408, 425, 429):
                    raise InstallError(f"{link.url_without_fragment}: {response.status_code} {response.reason}")
                response.raise_for_status()
                if response.status_code != 206:
                    begun = 0
                length = response.headers.get("Content-Length")
                total = None if length is None else begun + int(length)
                self._tell(wheel, begun, total)
                if total is not None and total - begun > self._free_bytes():
                    needed_mb, free_mb = (total - begun) / _MEGABYTE, self._free_bytes() / _MEGABYTE
                    raise InstallError(f"{wheel.name} needs {needed_mb:.0f} MB more, and {free_mb:.0f} MB are free")
                with wheel.open("ab" if begun else "wb", buffering=0) as file:
                    for chunk in response.iter_content(CHUNK_BYTES):
                        file.write(chunk)
        except (RequestException, HTTPError) as error:
            raise _LineError(str(error)) from error
        if total is not None and _size(wheel) < total:
            raise _LineError(f"the connection ended after {_size(wheel)} of {total} bytes")

    def _install(self, wheel: Path) -> None:
        # What is there of this package may be half of it, without the list of files that pip needs to remove it.
        command = [sys.executable, "-I", "-m", "pip", "install", "--no-index", "--no-deps", "--ignore-installed"]
        command += ["--isolated", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "--quiet", str(wheel)]
        if subprocess.run(command, check=False).returncode:
            raise InstallError(f"pip cannot install {wheel}")

    def _persist(self, attempt: Callable[[], Any], progress: Callable[[], int], failure: str) -> Any:
        """Try until it succeeds; an attempt that made progress has the waits begin anew."""
        waits = iter(WAITS_S)
        while True:
            before = progress()
            try:
                return attempt()
            except _LineError as error:
                if progress() > before:
                    waits = iter(WAITS_S)
                wait_s = next(waits, None)
                if wait_s is None:
                    raise InstallError(f"{failure}: {error}") from error
                sys.stderr.write(f"{failure}: {error}; trying again in {wait_s:g} s\n")
            self._sleep(wait_s)

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._wheels).free

    def _tell(self, wheel: Path, begun: int, total: int | None) -> None:
        size = "an unknown number of" if total is None else f"{total / _MEGABYTE:.1f}"
        here = f", {begun / _MEGABYTE:.1f} are here" if begun else ""
        sys.stdout.write(f"{wheel.name}: {size} MB{here}\n")
        sys.stdout.flush()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_whole(wheel: Path, hashes: dict[str, list[str]]) -> bool:
    with wheel.open("rb") as file:
        return any(hashlib.file_digest(file, name).hexdigest() in known for name, known in hashes.items())


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    try:
        requirements, wheels, index_url = arguments
        Installation(Path(sys.prefix), Path(requirements), Path(wheels), index_url).run()
    except (InstallError, PipError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
