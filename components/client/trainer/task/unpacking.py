"""task.zip as a folder, so that a task finds the files beside it where `__file__` says that they are."""

import os
import shutil
import zipfile
import zlib
from pathlib import Path

from components.client import durable


class UnpackingError(Exception):
    """task.zip can't be unpacked: it is damaged, or the disk is full."""


def unpack(archive: Path, directory: Path) -> Path:
    """Makes a directory hold what the archive does, and nothing else; files that are there already are left as they
    are. After a power cut the next call mends what is half done.

    Raises:
        UnpackingError: see there.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            directory.mkdir(parents=True, exist_ok=True)
            entries = {directory / entry.filename: entry for entry in packed.infolist() if not entry.is_dir()}
            if outside := [path for path in entries if ".." in path.parts or directory not in path.parents]:
                raise UnpackingError(f"{archive} holds {outside[0]}, which is outside of the task")
            stale = [path for path in _files(directory) if path not in entries]
            wrong = [path for path, entry in entries.items() if not _holds(path, entry)]
            if stale or wrong:
                # Compiled code counts as that of a file if that has the same size, and the same second.
                for cache in [*directory.rglob("__pycache__")]:
                    shutil.rmtree(cache)
            for path in stale:
                path.unlink(missing_ok=True)
            for path in wrong:
                if path.is_dir():
                    shutil.rmtree(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                aside = directory.with_name(f"{directory.name}.file")  # beside it, there could be one of this name
                durable.replace(aside, packed.read(entries[path]))
                aside.replace(path)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise UnpackingError(f"{archive} can't be unpacked into {directory}: {error}") from error
    return directory


def _files(directory: Path) -> list[Path]:
    return [
        Path(folder) / name
        for folder, _, names in os.walk(directory)
        if Path(folder).name != "__pycache__"
        for name in names
    ]


def _holds(path: Path, entry: zipfile.ZipInfo) -> bool:
    """Whether a file has what is packed: one that a power cut hit may have anything."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.file_size:
        return False
    return zlib.crc32(path.read_bytes()) == entry.CRC
