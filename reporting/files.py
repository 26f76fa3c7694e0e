"""Files that are good after a kill at any moment: appended to, or replaced in one step."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO


def try_folder(path: Path) -> None:
    """Make a folder, if it is not there, and a file in it. All that was made is removed again.

    Raises:
        OSError: that can't be done.
    """
    missing = list(takewhile(lambda folder: not os.path.lexists(folder), (path, *path.parents)))
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    finally:
        for folder in missing:
            with suppress(OSError):  # it could not be made, or another process has put something into it
                folder.rmdir()


class AppendedFile:
    """A file to be appended to, made if it is not there.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self.size = path.stat().st_size

    def keep(self, size: int) -> None:
        """Remove what follows so many bytes."""
        self._file.truncate(size)
        self.size = size

    def append(self, data: bytes) -> None:
        """Add all of this, or, if there is no room for it, nothing.

        Raises:
            OSError: there is no room.
        """
        self._file.truncate(self.size)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Force what was written to the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def fileno(self) -> int:
        """Its descriptor."""
        return self._file.fileno()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to be written, which then takes the place of the one at `path`: at any moment that is the old or the new
    one, also after a power cut.

    Raises:
        OSError: the disk is full, or read-only; the old file is still there.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_names(path.parent)


TEMPORARY = ".new"
"""What the name of a file that is not yet in its place ends with."""


def sync_names(directory: Path) -> None:
    """Force the names of a directory's files to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
