"""Whether the files of a dataset are still the same: by their names, sizes and times, without opening them."""

import hashlib
import os
import stat
from pathlib import Path

import msgspec


class Fingerprint(msgspec.Struct, frozen=True):
    """`digest` changes with any file that is added, removed or changed, and with where links lead. `unread` says what
    could not be looked at, and why: that it changes is not seen."""

    digest: str
    unread: tuple[str, ...]


def of(directory: Path) -> Fingerprint:
    """The fingerprint of a directory, and of all below it. Links are followed, to each directory once; what is neither
    a file nor a directory (pipes, sockets, devices) does not count.

    Raises:
        OSError: the directory itself cannot be read, or is none.
    """
    digest = hashlib.sha256()
    unread = []
    root = os.fsencode(directory)
    about = directory.stat()
    seen = {(about.st_dev, about.st_ino)}
    waiting = [b""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(os.path.join(root, below)) as entries:  # noqa: PTH118 - there may be very many, and names are bytes
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not below:
                raise
            unread.append(_noted(below, error))
            continue
        directories = []
        for entry in found:
            name = os.path.join(below, entry.name)  # noqa: PTH118
            try:
                if entry.is_symlink():  # it may lead elsewhere by now, to what is counted in its own place
                    target = os.readlink(os.path.join(root, name))  # noqa: PTH115, PTH118
                    digest.update(b"%s\0-> %s\0\n" % (name, target))
                about = entry.stat()
            except OSError as error:  # a dangling link or a loop; or it is gone
                unread.append(_noted(name, error))
                continue
            if stat.S_ISREG(about.st_mode):
                digest.update(b"%s\0%d %d\n" % (name, about.st_size, about.st_mtime_ns))
            elif stat.S_ISDIR(about.st_mode) and (about.st_dev, about.st_ino) not in seen:
                seen.add((about.st_dev, about.st_ino))
                directories.append(name)
        waiting += reversed(directories)
    return Fingerprint(digest.hexdigest(), tuple(unread))


def _noted(name: bytes, error: OSError) -> str:
    return f"{os.fsdecode(name)}: {error.strerror}"
