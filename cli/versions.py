"""What runs: for reports of errors."""

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Of fedgrass, of Python, and the platform."""
    return {"fedgrass": version("fedgrass"), "python": platform.python_version(), "platform": platform.platform()}
