"""Builds a wheelhouse: a folder with the wheels of com.fedgrass.Runtime, without CUDA, for one kind of device, and the
list of them. Any machine can do it. components/build.py packs it into the component.

Each wheel has one of the hashes in the list. What pip is told on this machine, by its configuration or by PIP_
variables, does not count.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath

import msgspec
from packaging.markers import Marker
from packaging.utils import canonicalize_name, parse_wheel_filename

from components import task_requirements
from components.runtime.hash_requirements import INDEX_URL, TORCH_INDEX_URL
from components.task_requirements import FILE_NAME, Requirement

_OLDEST_GLIBC, _NEWEST_GLIBC = 17, 28
"""Minor versions: no wheel that devices need asks for an older or a newer one."""

_BEGINS = re.compile(r"(Downloading|Using cached) .+")

_CUDA_PROJECT = re.compile(r"(nvidia|cuda|triton)\b.*")
_CUDA_LIBRARY = re.compile(
    r"lib(torch_cuda|c10_cuda|cu(da|dnn|blas|fft|file|pti|rand|solver|sparse)|nccl|nvrtc)\w*(-\w+)?\.so.*"
)


class WheelhouseError(Exception):
    """The wheels could not be brought together; the text says which, or what pip says."""


class WheelhouseInUseError(Exception):
    """Something else is in the folder already."""


class Wheelhouse(msgspec.Struct, frozen=True, kw_only=True):
    """What was made. `unpacked_bytes` is what the wheels take once installed, without Python's own bytecode."""

    path: str
    arch: str
    python: str
    wheels: int
    bytes: int
    unpacked_bytes: int


def make(
    out: Path,
    arch: str,
    python: str,
    task: Path | None,
    index_url: str = INDEX_URL,
    torch_index_url: str = TORCH_INDEX_URL,
    tell: Callable[[str], None] = lambda _: None,
) -> Wheelhouse:
    """A wheelhouse in `out`, which is new, empty or an earlier one; with what a task needs, if one is named. `tell` is
    called with a line when a download begins.

    Raises:
        WheelhouseInUseError, WheelhouseError, TaskFolderError, TaskRequirementsError: see there.
    """
    if out.exists() and not (out.is_dir() and all(_is_part(path) for path in out.iterdir())):
        raise WheelhouseInUseError(f"{out} has something else in it: name a new folder, or an empty one")
    text = task_requirements.with_those_of(task)
    wanted = [one for one in task_requirements.listed(text) if is_for(one, arch, python)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        made = Path(scratch) / "wheelhouse"
        made.mkdir()
        for url, of_torch_index in ((index_url, False), (torch_index_url, True)):
            _download([one for one in wanted if one.is_of_torch_index is of_torch_index], arch, python, url, made, tell)
        wheels = sorted(made.glob("*.whl"))
        _check(wheels, wanted)
        (made / FILE_NAME).write_text(text, encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)
    return Wheelhouse(
        path=str(out),
        arch=arch,
        python=python,
        wheels=len(wheels),
        bytes=sum(path.stat().st_size for path in out.glob("*.whl")),
        unpacked_bytes=sum(info.file_size for path in out.glob("*.whl") for info in _contents(path)),
    )


def is_for(requirement: Requirement, arch: str, python: str) -> bool:
    """Whether a device of this kind installs it. pip asks the machine that it runs on."""
    about = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": arch,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    return not requirement.marker or Marker(requirement.marker).evaluate(about)


def cuda_in(wheels: Collection[Path]) -> list[str]:
    """What of CUDA is among some wheels: projects, and the libraries of others."""
    projects = [path.name for path in wheels if _CUDA_PROJECT.fullmatch(canonicalize_name(path.name.partition("-")[0]))]
    libraries = [f"{path.name}: {info.filename}" for path in wheels for info in _contents(path) if _is_of_cuda(info)]
    return projects + libraries


def _is_of_cuda(info: zipfile.ZipInfo) -> bool:
    return _CUDA_LIBRARY.fullmatch(PurePosixPath(info.filename).name) is not None


def _download(
    requirements: list[Requirement], arch: str, python: str, index_url: str, to: Path, tell: Callable[[str], None]
) -> None:
    if not requirements:
        return
    listing = to.with_name(FILE_NAME)
    listing.write_text("".join(f"{one._replace(marker='').text()}\n" for one in requirements), encoding="utf-8")
    glibcs = [f"manylinux_2_{minor}" for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)]
    command = [sys.executable, "-m", "pip", "--isolated", "download", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--require-hashes", "--requirement", str(listing)]
    command += ["--index-url", index_url, "--dest", str(to)]
    command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--platform={glibc}_{arch}" for glibc in (*glibcs, "manylinux2014")]
    # `isolated` leaves out PIP_ variables and the user's configuration; this leaves out the machine's as well.
    environment = os.environ | {"PIP_CONFIG_FILE": os.devnull}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as pip,
    ):
        try:
            for line in pip.stdout or ():
                if match := _BEGINS.fullmatch(line.strip()):
                    tell(match[0])
            pip.wait()
        finally:
            pip.kill()  # unless it has ended
        if pip.returncode:
            errors.seek(0)
            raise WheelhouseError(
                f"pip could not get the wheels for Python {python} on {arch} from {index_url}: {errors.read()}"
            )


def _check(wheels: list[Path], wanted: list[Requirement]) -> None:
    there = {parse_wheel_filename(path.name)[0] for path in wheels}
    if missing := [one.pinned for one in wanted if canonicalize_name(one.name) not in there]:
        raise WheelhouseError(f"pip brought no {', '.join(missing)}")
    if found := cuda_in(wheels):
        raise WheelhouseError(f"this is of CUDA, which a wheelhouse is without: {', '.join(found)}")


def _contents(wheel: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.infolist()


def _is_part(path: Path) -> bool:
    return path.name == FILE_NAME or path.suffix == ".whl"
