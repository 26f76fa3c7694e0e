"""com.fedgrass.Runtime's install.sh on a device of its own, with real pip and real virtual environments."""

import fcntl
import functools
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from components.runtime.install_wheels import CHUNK_BYTES
from sandbox.package_index import write_wheel
from sandbox.polling import eventually
from tests.paths import ROOT

RUNTIME = ROOT / "components" / "runtime"
LIMIT_S = 120.0
LARGE = 400_000
SIZES = (0, LARGE, 4_000_000)


class Environments:
    """Virtual environments as `python3 -m venv` makes them, which takes seconds: they are made when they are asked for,
    and once. What may be read by all processes of a run of the tests is in `common`."""

    def __init__(self, directory: Path, common: Path) -> None:
        self._directory = directory
        self._common = common

    @classmethod
    def of_this_run(cls, temporary: pytest.TempPathFactory) -> Self:
        """With pytest's directories: that of this process is in one of all, if there are several."""
        directory = temporary.mktemp("environments")
        is_one_of_several = "PYTEST_XDIST_WORKER" in os.environ
        return cls(directory, temporary.getbasetemp().parent if is_one_of_several else directory)

    @functools.cached_property
    def pristine(self) -> Path:
        """One that nothing is installed into."""
        pristine = self._common / "pristine"
        with (self._common / "pristine.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not pristine.exists():
                subprocess.run([sys.executable, "-I", "-m", "venv", str(pristine)], check=True)
        return pristine

    @functools.cached_property
    def shared(self) -> Path:
        """One for all tests that install into an environment."""
        return shutil.copytree(self.pristine, self._directory / "shared", symlinks=True)


class Device:
    """A work directory, and the command that the recipe runs with its configuration. Its packages are in the folder
    `index`, unless it is given the address of a package index. `hostile` is what else is in its own environment.
    Requirements without a hash are given that of a package as `write_wheel` makes it."""

    def __init__(self, directory: Path, environments: Environments) -> None:
        self._environments = environments
        self.work = directory / "work"
        self.index = directory / "index"
        self.torch = "cpu"
        self.index_url = self.index.as_uri()
        self.torch_index_url = self.proxy = self.python = self.wheelhouse = ""
        self.hostile: dict[str, str] = {}
        self.artifacts = directory / "artifacts"
        self.requirements = self.artifacts / "requirements.txt"
        self._bin = directory / "bin"
        for folder in (self.work, self.index, self.artifacts, self._bin):
            folder.mkdir()
        self.provide_python(f'exec "{sys.executable}" "$@"')

    @functools.cached_property
    def made(self) -> Path:
        """An environment that was made before, in which nothing is noted as installed."""
        shutil.rmtree(self._environments.shared / "installed", ignore_errors=True)
        return self._environments.shared

    def provide_python(self, script: str) -> None:
        """Make `python3` run this."""
        (self._bin / "python3").write_text(f"#!/bin/sh\n{script}\n")
        (self._bin / "python3").chmod(0o755)

    def copy_environments(self) -> None:
        """Have `python3 -m venv` copy one that it made before: for tests of what comes behind that."""
        copy = f'exec cp -a "{self._environments.pristine}" "$4"'
        self.provide_python(f'[ "$2 $3" != "-m venv" ] || {copy}; exec "{sys.executable}" "$@"')

    def offer(self, name: str, version: str) -> None:
        """Put a package into the folder."""
        project = self.index / name
        project.mkdir(exist_ok=True)
        with (project / f"{name}-{version}-py3-none-any.whl").open("wb") as file:
            write_wheel(file, name, version)
        links = [f'<a href="{path.name}">{path.name}</a>' for path in project.glob("*.whl")]
        (project / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")

    @property
    def _sources(self) -> list[object]:
        return [self.index_url, self.torch_index_url, self.proxy, self.wheelhouse]

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}", **self.hostile}

    def start(self, requirements: str, before: str = "") -> "subprocess.Popen[str]":
        """Runs it in a process group of its own; `before` is what the shell does first."""
        self.requirements.write_text(with_hashes(requirements))
        arguments = [RUNTIME / "install.sh", self.artifacts, self.work, self.torch, *self._sources]
        arguments[-1:-1] = [self.python]
        return subprocess.Popen(
            ["/bin/sh", "-c", f'{before}exec /bin/sh "$@"', "sh", *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def install(self, requirements: str, before: str = "") -> "subprocess.CompletedProcess[str]":
        process = self.start(requirements, before)
        out, error = process.communicate(timeout=LIMIT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def install_wheels(self, requirements: str, before: str = "") -> "subprocess.CompletedProcess[str]":
        """Only that part of it which fills an environment."""
        self.requirements.write_text(with_hashes(requirements))
        script, wheels = RUNTIME / "install_wheels.py", self.work / "wheels"
        arguments = [self.made / "bin" / "python", "-I", script, self.requirements, wheels, *self._sources]
        return subprocess.run(
            ["/bin/sh", "-c", f'{before}exec "$@"', "sh", *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )

    def version(self, package: str, environment: Path | None = None) -> str:
        """What an environment has of a package: that of the moment, through the link that the client's recipe uses, if
        none is given."""
        python = (environment or self.work / "venv") / "bin" / "python"
        command = [str(python), "-I", "-c", f"import {package}; print({package}.VERSION)"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def environments(self) -> set[str]:
        return {path.name for path in self.work.glob("venv-*")}

    def kept(self) -> dict[str, int]:
        """The wheels that are kept, with their bytes."""
        return {path.name: path.stat().st_size for path in self.work.glob("wheels/*")}


def with_hashes(requirements: str) -> str:
    """The list, with the hashes of what the indexes here offer: of small packages, and of large ones."""

    def hashed(match: re.Match[str]) -> str:
        hashes = [hash_of(match[1], match[2], size) for size in SIZES]
        return f"{match[0]} {' '.join(f'--hash=sha256:{one}' for one in hashes)}"

    return re.sub(r"^(\w+)==(\S+)$", hashed, requirements, flags=re.MULTILINE)


@functools.cache
def hash_of(name: str, version: str, size_bytes: int) -> str:
    wheel = io.BytesIO()
    write_wheel(wheel, name, version, size_bytes)
    return hashlib.sha256(wheel.getvalue()).hexdigest()


def wait_until_kept(device: Device, file: str, size: int) -> None:
    """What an index has sent is on its way for a moment."""
    eventually(lambda: device.kept().get(file, 0) >= size - CHUNK_BYTES, f"{file} to be kept", LIMIT_S)


def kill(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=LIMIT_S)
