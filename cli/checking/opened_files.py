"""Which files a task reads that no device has: noted while it runs, with the lines that open them."""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/run")
_MOST = 20


class Opened(NamedTuple):
    """A file, and the task's line that had it opened."""

    path: Path
    file: str
    line: int


class OpenedFiles:
    """Notes what is opened for reading by code in `root`."""

    def __init__(self, root: Path) -> None:
        self._root = str(root) + os.sep
        libraries = {entry for entry in (sys.prefix, sys.base_prefix, *sys.path) if entry and entry != str(root)}
        self._allowed = (*_SYSTEM, tempfile.gettempdir(), *(str(Path(entry).resolve()) for entry in libraries))

    @contextlib.contextmanager
    def noted(self, *allowed: Path) -> Iterator[list[Opened]]:
        """What is opened in the block outside of these folders, of the system's and of the libraries'; of a file the
        first time."""
        found: list[Opened] = []
        noted: list[Opened] = []

        def note(name: str, frame: FrameType | None) -> None:
            while frame is not None and len(noted) < _MOST:
                if frame.f_code.co_filename.startswith(self._root):
                    file = frame.f_code.co_filename.removeprefix(self._root)
                    noted.append(Opened(Path(name).resolve(), file, frame.f_lineno))
                    return
                frame = frame.f_back

        _listen()
        _listeners.append(note)
        try:
            yield found
        finally:
            _listeners.remove(note)
        folders = (*map(str, allowed), *self._allowed)
        for opened in noted:
            is_known = any(opened.path == other.path for other in found)
            if not is_known and opened.path.is_file() and not _is_below(opened.path, folders):
                found.append(opened)


_listeners: list[Callable[[str, FrameType | None], None]] = []


@functools.cache
def _listen() -> None:
    """Once: Python has no way to take a hook away again."""
    sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _listeners:
        return
    path, mode, _flags = arguments
    if not isinstance(path, str | bytes | os.PathLike) or (mode and set("wxa") & set(mode)):
        return
    name = os.fsdecode(path)
    if not name.endswith((".py", ".pyc", ".so")):
        for listener in [*_listeners]:
            listener(name, sys._getframe(1))


def _is_below(path: Path, folders: tuple[str, ...]) -> bool:
    return any(f"{path}/".startswith(f"{folder.rstrip('/')}/") for folder in folders)
