"""Where a task went wrong: its own line, not one of torch's or ours, and what was raised there."""

import re
import traceback
from pathlib import Path
from typing import NamedTuple

_HEAD = "Traceback (most recent call last):\n"
_FRAME = re.compile(r'^ *File "([^"]+)", line (\d+)', re.MULTILINE)

_ROOT = Path(__file__).parents[4]
_OURS = tuple(str(_ROOT / package) for package in ("components/client", "fedgrass", "protocol"))
"""On a device these lie in client.zip, beside the task."""

_LIBRARIES = ("site-packages", "dist-packages")
"""A virtual environment may lie in the task's folder."""

_LONGEST = 2000


class Place(NamedTuple):
    """A line of the task: its file, as named in the task's folder, and the number."""

    file: str
    line: int | None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}, line {self.line}"


def place_of(error: BaseException, root: Path) -> Place | None:
    """The last line of the task in `root` that had a part in an exception, or in one that it came from."""
    return _place(error, root, set())


def describe(error: BaseException, root: Path) -> str:
    """An exception on one line, with the last line of the task in `root`, a folder or zip file, that had a part in it;
    then the one that it was raised from, if the task says so. A long text is cut in its middle."""
    told = _describe(error, root, set())
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST // 2]} ... {told[-_LONGEST // 2 :]}"


def _describe(error: BaseException, root: Path, seen: set[int]) -> str:
    seen.add(id(error))
    if isinstance(error, BaseExceptionGroup):
        first = _describe(error.exceptions[0], root, seen)
        return f"{type(error).__name__}: {error.message}, {len(error.exceptions)} in all, the first one {first}"
    place = place_of(error, root)
    told = f"{_told(error, root)} ({place})" if place else _told(error, root)
    if isinstance(error, ModuleNotFoundError):
        told += "; a package that devices lack goes into requirements.txt beside task.py"
    cause = error.__cause__
    if cause is None or id(cause) in seen or _HEAD in _text(cause) or _text(cause) in _text(error):
        return told
    return f"{told}, from {_describe(cause, root, seen)}"


def _told(error: BaseException, root: Path) -> str:
    name = type(error).__name__
    if isinstance(error, SyntaxError):
        is_users = error.filename is not None and _name(error.filename, root) is not None
        return f"{name}: {error.msg}" if is_users or not error.filename else f"{name}: {error}"
    text = _text(error)
    if _HEAD not in text:
        return f"{name}: {text}"
    lines = text.rpartition(_HEAD)[2].splitlines()  # of a process that loads data: the whole trace is its text
    return " ".join(line for line in lines if not line.startswith(" ")) or f"{name}: {text}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the task's own class
        return "<its text cannot be had>"


def _place(error: BaseException, root: Path, seen: set[int]) -> Place | None:
    seen.add(id(error))
    if isinstance(error, SyntaxError) and error.filename:
        name = _name(error.filename, root)
        if name is not None:
            return Place(name, error.lineno or None)
    told = f"{_text(error)}\n{'' if error.__cause__ is None else _text(error.__cause__)}"
    frames = [(file, int(line)) for file, line in _FRAME.findall(told)] if _HEAD in told else []
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)] + frames
    for file, line in reversed(frames):
        name = _name(file, root)
        if name is not None:
            return Place(name, line)
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None if before is None or id(before) in seen else _place(before, root, seen)


def _name(file: str, root: Path) -> str | None:
    """The file's name in the task's folder, None if it is not the task's own."""
    path = Path(file)
    if not path.is_relative_to(root) or any(path.is_relative_to(ours) for ours in _OURS):
        return None
    name = path.relative_to(root)
    return None if any(part in _LIBRARIES for part in name.parts) else name.as_posix()
