"""Installs wheels into the environment whose Python runs it:

    install_wheels.py REQUIREMENTS WHEELS INDEX_URL TORCH_INDEX_URL PROXY WHEELHOUSE

Each wheel has one of the hashes that the list names for it; a list that names none is refused. It comes from the
wheelhouse, a folder or a zip of wheels, if there is one, and then from nowhere else. Otherwise it comes from the index,
or from that of PyTorch if there is a + in its version, as PyPI has no such versions. What pip is told on this machine,
by its configuration or by PIP_ variables, does not count. The proxy does, and without one those of the environment.

One wheel after the other is downloaded into the directory WHEELS, verified, installed, noted in the environment, and
deleted. Run again after it was cut off, it goes on with the wheel that it was at, where the download was; so a card
needs room for one wheel besides the environment.

pip alone begins each download anew, and keeps nothing of a run that was cut off. It does the rest: this asks its finder
where a wheel is, gets it in its session, and has it installed by a fork of this process. To start pip anew takes many
times as long as to install a small wheel; and in a process in which it has installed something pip warns, from 26.3 on,
of all that is imported.
These are pip's own modules, not an interface that it promises: the names used are the same from pip 22.3 to 26.
"""

import hashlib
import multiprocessing
import os
import platform
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pip._internal.commands.download import DownloadCommand
from pip._internal.commands.install import InstallCommand
from pip._internal.exceptions import PipError
from pip._internal.req import parse_requirements
from pip._internal.req.constructors import install_req_from_parsed_requirement
from pip._internal.utils.misc import redact_auth_from_url
from pip._vendor.packaging.tags import sys_tags
from pip._vendor.packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from pip._vendor.requests.exceptions import RequestException
from pip._vendor.urllib3.exceptions import HTTPError

WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0, 60.0)
"""Before each new attempt after one that brought nothing. Nucleus lite starts a step that fails three times an hour
only, and so an outage of the line should not fail it."""

_FORKED = multiprocessing.get_context("fork").Process

CHUNK_BYTES = 1 << 14
"""What is lost of a download at most when it is killed."""

_MEGABYTE = 1e6


REFUSED, INTERRUPTED = 1, 75
"""What this ends with if another try would not get further either, and if one later might."""


class InstallError(Exception):
    """A wheel cannot be had, or not be installed; the text says which one, and why."""


class LineError(InstallError):
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
        torch_index_url: str = "",
        proxy: str = "",
        wheelhouse: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Raises:
            InstallError: a requirement has no hash, or leaves open which version it is.
        """
        self._wheels = wheels
        self._wheelhouse = wheelhouse
        self._sleep = sleep
        self._noted = environment / "installed"
        # `isolated` leaves out PIP_ variables and the user's configuration; this leaves out the machine's as well.
        os.environ["PIP_CONFIG_FILE"] = os.devnull
        # The list is complete: pip must neither add to it nor compile. What fails is tried again here.
        self._command = DownloadCommand("download", "", isolated=True)
        arguments = ["--requirement", str(requirements), "--retries", "0", "--require-hashes"]
        arguments += ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"]
        arguments += ["--proxy", proxy] if proxy else []
        self._options = self._parsed([*arguments, "--index-url", index_url])
        self._torch_options = self._parsed([*arguments, "--index-url", torch_index_url])
        self._session: Any = self._command._build_session(self._options)
        # Before pip 23.1, the environment's proxies went before the one that it was told.
        self._session.trust_env = not proxy
        parsed = parse_requirements(str(requirements), session=self._session)
        every: list[Any] = list(map(install_req_from_parsed_requirement, parsed))
        for requirement in every:
            if not requirement.hash_options or not requirement.is_pinned:
                raise InstallError(f"{requirements} has to say which version and which hashes {requirement.req} has")
        self._requirements = [requirement for requirement in every if requirement.match_markers()]

    def _parsed(self, arguments: list[str]) -> Any:
        options, _ = self._command.parse_args(arguments)
        return options

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
        if self._wheelhouse is not None:
            return self._take(self._wheelhouse, requirement)
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
        raise InstallError(f"what {_shown(link)} gives has none of the hashes that it should have, {hashes}")

    def _take(self, wheelhouse: Path, requirement: Any) -> Path:
        """A wheel of the wheelhouse; one that has to be unpacked is put where downloads are."""
        fitting = set(sys_tags())
        wanted = canonicalize_name(requirement.name), requirement.specifier
        for name in _files(wheelhouse):
            try:
                project, version, _, tags = parse_wheel_filename(name)
            except InvalidWheelFilename:
                continue
            if project != wanted[0] or not wanted[1].contains(version, prereleases=True) or not tags & fitting:
                continue
            wheel = wheelhouse / name
            if not wheelhouse.is_dir():
                wheel = self._wheels / name
                with zipfile.ZipFile(wheelhouse) as archive, archive.open(name) as packed, wheel.open("wb") as file:
                    shutil.copyfileobj(packed, file)
            if not _is_whole(wheel, requirement.hash_options):
                raise InstallError(
                    f"{name} in {wheelhouse} has none of the hashes that it should have, {requirement.hash_options}"
                )
            return wheel
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        machine = platform.machine()
        raise InstallError(
            f"{wheelhouse} has no wheel of {requirement.req} for Python {python} on {machine}: make it anew by "
            f"`fedgrass wheelhouse --arch {machine} --python {python}`, with the --task of this component's build"
        )

    def _find(self, requirement: Any) -> Any:
        # pip remembers what a finder found, so each time it is a new one.
        options = self._torch_options if "+" in str(requirement.specifier) else self._options
        finder = self._command._build_package_finder(options=options, session=self._session)
        best = finder.find_best_candidate(
            requirement.name, requirement.specifier, requirement.hashes(trust_internet=False)
        ).best_candidate
        if best is not None:
            return best.link
        failure = f"No matching distribution found for {requirement.req}"
        others = {str(candidate.version) for candidate in finder.find_all_candidates(requirement.name)}
        if others:
            raise InstallError(f"{failure}, for this Python and machine; there are {', '.join(sorted(others))}")
        index_url = redact_auth_from_url(options.index_url)
        raise LineError(f"{failure}: {index_url} has none of that name, or was not reached")

    def _download(self, link: Any, wheel: Path) -> None:
        begun = _size(wheel)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
        try:
            with self._session.get(link.url_without_fragment, headers=headers, stream=True) as response:
                if response.status_code == 416:  # it is shorter than what is here
                    wheel.unlink()
                    raise LineError("its length has changed")
                if 400 <= response.status_code < 500 and response.status_code not in (408, 425, 429):
                    raise InstallError(f"{_shown(link)}: {response.status_code} {response.reason}")
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
            raise LineError(str(error)) from error
        if total is not None and _size(wheel) < total:
            raise LineError(f"the connection ended after {_size(wheel)} of {total} bytes")

    def _install(self, wheel: Path) -> None:
        # What is there of this package may be half of it, without the list of files that pip needs to remove it.
        arguments = ["--no-index", "--no-deps", "--ignore-installed", "--isolated", "--no-cache-dir", "--no-input"]
        arguments += ["--disable-pip-version-check", "--quiet", str(wheel)]
        pip = _FORKED(target=_pip_install, args=(arguments,))
        pip.start()
        pip.join()
        if pip.exitcode:
            raise InstallError(f"pip cannot install {wheel}")

    def _persist(self, attempt: Callable[[], Any], progress: Callable[[], int], failure: str) -> Any:
        """Try until it succeeds; an attempt that made progress has the waits begin anew."""
        waits = iter(WAITS_S)
        while True:
            before = progress()
            try:
                return attempt()
            except LineError as error:
                if progress() > before:
                    waits = iter(WAITS_S)
                wait_s = next(waits, None)
                if wait_s is None:
                    raise LineError(f"{failure}: {error}") from error
                sys.stderr.write(f"{failure}: {error}; trying again in {wait_s:g} s\n")
            self._sleep(wait_s)

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._wheels).free

    def _tell(self, wheel: Path, begun: int, total: int | None) -> None:
        size = "an unknown number of" if total is None else f"{total / _MEGABYTE:.1f}"
        here = f", {begun / _MEGABYTE:.1f} are here" if begun else ""
        sys.stdout.write(f"{wheel.name}: {size} MB{here}\n")
        sys.stdout.flush()


def _pip_install(arguments: list[str]) -> None:
    sys.exit(InstallCommand("install", "", isolated=True).main(arguments))


def _shown(link: Any) -> str:
    """Its address, without the password that an index of one's own may have in it."""
    return str(redact_auth_from_url(link.url_without_fragment))


def _files(wheelhouse: Path) -> Iterator[str]:
    try:
        if wheelhouse.is_dir():
            yield from (path.name for path in sorted(wheelhouse.iterdir()))
        else:
            with zipfile.ZipFile(wheelhouse) as archive:
                yield from sorted(archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InstallError(f"the wheelhouse {wheelhouse} can't be read: {error}") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_whole(wheel: Path, hashes: dict[str, list[str]]) -> bool:
    with wheel.open("rb") as file:
        return any(hashlib.file_digest(file, name).hexdigest() in known for name, known in hashes.items())


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    try:
        requirements, wheels, index_url, torch_index_url, proxy, wheelhouse = arguments
        Installation(
            Path(sys.prefix),
            Path(requirements),
            Path(wheels),
            index_url,
            torch_index_url,
            proxy,
            Path(wheelhouse) if wheelhouse else None,
        ).run()
    except (InstallError, PipError) as error:
        sys.stderr.write(f"{error}\n")
        return INTERRUPTED if isinstance(error, LineError) else REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
