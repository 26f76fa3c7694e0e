"""Files that a power cut leaves whole: written aside, forced to the disk, and put in place in one step."""

import os
from pathlib import Path


def replace(path: Path, *parts: bytes) -> None:
    """Replaces a file by these bytes: after a power cut it is the old one or the new one.

    Raises:
        OSError: the disk is full, or read-only; the old file is still there.
    """
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # half a file helps nobody, least of all on a full disk
        raise
    _force_names(path.parent)


def _force_names(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
