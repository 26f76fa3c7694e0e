"""What is deployed: the functions' code as one zip, and their dependencies as a layer for one architecture.

Each wheel of the layer has one of the hashes in requirements.txt, and comes from one index: FEDGRASS_INDEX_URL, or else
pypi.org. What pip is told on this machine, by its configuration or by PIP_ variables, does not count.
"""

import hashlib
import io
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "cloud" / "requirements.txt"
_PACKAGES = ("cloud", "fedgrass", "protocol")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = {"tests", "testing", "__pycache__", "f2py", "_pyinstaller"}
_SERVICES = {"s3", "dynamodb", "sqs", "iot", "iot-data"}
"""Services that the functions call. botocore has descriptions of 400 more, which are most of it."""


class PackagingError(Exception):
    """The functions' dependencies could not be brought together."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where functions run. `platforms` are pip's names of the wheels that fit, best first."""

    architecture: str
    python: str
    platforms: tuple[str, ...]


ARCHITECTURES = ("arm64", "x86_64")
"""Of the processors that Lambda has; the first one costs less."""


def of_lambda(architecture: str) -> Target:
    """What template.yaml names: python3.13, whose Amazon Linux 2023 has glibc 2.34."""
    machine = {"arm64": "aarch64", "x86_64": "x86_64"}[architecture]
    glibcs = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux2014")
    return Target(architecture=architecture, python="3.13", platforms=tuple(f"{glibc}_{machine}" for glibc in glibcs))


def cache_directory() -> Path:
    """Where layers are kept between deployments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedgrass"


def this_machine() -> Target:
    """The machine this runs on, which the embedded AWS runs functions on."""
    machine = platform.machine()
    return Target(
        architecture=machine,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        platforms=tuple(f"{name}_{machine}" for name in ("manylinux_2_28", "manylinux_2_27", "manylinux2014")),
    )


def target_at(endpoint: str, architecture: str) -> Target:
    """Where functions run that are deployed through an endpoint of CloudFormation: an AWS on loopback is embedded in
    this machine, whatever architecture its functions are told to have."""
    return this_machine() if urlsplit(endpoint).hostname in _LOOPBACK else of_lambda(architecture)


def code(policies: Mapping[str, bytes]) -> bytes:
    """The functions' code: the same bytes for the same files. `policies` is federation -> its policies.py."""
    files = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for package in _PACKAGES
        for pattern in ("*.py", "prices.toml")
        for path in (ROOT / package).rglob(pattern)
    }
    files |= {f"federations/{federation}/policies.py": content for federation, content in policies.items()}
    return _zip(files.items())


def policies_in(code: bytes) -> dict[str, bytes]:
    """Federation -> its policies.py, of such a zip; the inverse of what `code` was given."""
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        paths = {name: name.split("/") for name in archive.namelist()}
        return {parts[1]: archive.read(name) for name, parts in paths.items() if parts[0] == "federations"}


def dependencies(target: Target, cache: Path) -> Path:
    """The layer with what the functions import, for a target: made once, and kept in `cache`.

    Raises:
        PackagingError: pip could not get the wheels; the text is pip's.
    """
    key = hashlib.sha256(
        msgspec.json.encode([target, REQUIREMENTS.read_text(), sorted(_LEFT_OUT), sorted(_SERVICES)])
    ).hexdigest()[:16]
    path = cache / f"dependencies-{target.architecture}-{key}.zip"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        site = Path(scratch) / "python"
        index_url = os.environ.get("FEDGRASS_INDEX_URL", "https://pypi.org/simple")
        command = [sys.executable, "-m", "pip", "--isolated", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--require-hashes", "--requirement", str(REQUIREMENTS), "--index-url", index_url, "--no-compile"]
        command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", "--target", str(site)]
        command += [f"--python-version={target.python}", *(f"--platform={name}" for name in target.platforms)]
        # `isolated` leaves out PIP_ variables and the user's configuration; this leaves out the machine's as well.
        environment = os.environ | {"PIP_CONFIG_FILE": os.devnull}
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if run.returncode:
            raise PackagingError(
                f"pip could not get what {REQUIREMENTS.relative_to(ROOT)} lists for {target.architecture} from "
                f"{index_url} (FEDGRASS_INDEX_URL names another index): {run.stderr}"
            )
        files = sorted(path for path in site.rglob("*") if path.is_file() and _is_needed(path.relative_to(site)))
        data = _zip((path.relative_to(scratch).as_posix(), path.read_bytes()) for path in files)
        partial = Path(scratch) / path.name
        partial.write_bytes(data)
        partial.rename(path)
    return path


def _is_needed(path: Path) -> bool:
    match path.parts:
        case ("botocore", "data", service, _, *_) if service not in _SERVICES:
            return False
        case ("boto3", ("data" | "examples"), *_):  # of resources, which the functions do not use
            return False
    return path.suffix != ".pyi" and not _LEFT_OUT.intersection(path.parts)


def _zip(files: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files):
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()
