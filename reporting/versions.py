"""What is installed on this machine."""

import importlib.metadata
import platform

from reporting.records import Versions


def versions() -> Versions:
    """Those that a run's records name."""
    return Versions(fedgrass=_version("fedgrass"), python=platform.python_version(), torch=_version("torch"))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
