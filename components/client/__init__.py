"""com.fedgrass.Client: the device agent, and the training process that it starts for a round."""

import re
from pathlib import Path

_SOURCE = "0.1.0"
_DEPLOYED = re.compile(r"\d+\.\d+\.\d+[0-9A-Za-z.+-]{0,40}")


def version(package: Path) -> str:
    """The version of the component that this package is of: a nucleus names the directory of client.zip after it. A
    checkout, or a build that was never published, is of the source's version."""
    archive = package.parent.parent
    deployed = archive.suffix == ".zip" and _DEPLOYED.fullmatch(archive.parent.name)
    return archive.parent.name if deployed else _SOURCE


__version__ = version(Path(__file__).parent)
