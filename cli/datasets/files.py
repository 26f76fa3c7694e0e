"""The files of a source: which of a folder are data, and what their places tell."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.datasets.dataset import Column
from components.text import printable

_LABEL_NAMES = ("label", "labels", "class", "target", "targets", "y")


def default_label(columns: Sequence[str], column: Callable[[str], Column]) -> str | None:
    """The column of labels where nobody names it: the first of the usual names that there is, unless its values are
    numbers to predict."""
    folded = {name.strip().casefold(): name for name in reversed(columns)}
    found = next((folded[name] for name in _LABEL_NAMES if name in folded), None)
    return found if found is not None and column(found).names_classes else None


def place_columns(path: Path, files: Sequence[Path], lengths: Sequence[int]) -> dict[str, list[str]]:
    """For the examples of several files: the name of each one's file, without its ending, and of the folder that the
    file lies in. One file has no such columns, and files side by side have no folders."""
    if path in files:
        return {}
    folders = [printable(file.parent.relative_to(path).as_posix().removeprefix(".")) for file in files]
    stems = [printable(file.name.split(".")[0]) for file in files]
    if len(set(stems)) < len(stems):
        stems = [f"{folder}/{stem}" if folder else stem for folder, stem in zip(folders, stems, strict=True)]
    columns = {"file": stems} if not any(folders) else {"file": stems, "folder": folders}
    return {
        column: [value for value, length in zip(values, lengths, strict=True) for _ in range(length)]
        for column, values in columns.items()
    }


def walk(folder: Path) -> tuple[list[Path], list[str]]:
    """All files below a folder, in the order of their names, and what was left out, with the reason. Links are
    followed, to each folder once; what is hidden is left out, and is nobody's concern."""
    files: list[Path] = []
    left_out: list[str] = []
    seen: set[tuple[int, int]] = set()

    def leave_out(error: OSError) -> None:
        left_out.append(f"{error.filename}: {error.strerror}")

    for place, folders, names in os.walk(folder, followlinks=True, onerror=leave_out):
        about = Path(place).stat()
        if (about.st_dev, about.st_ino) in seen:
            left_out.append(f"{place}: a folder that was read already")
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(names):
            path = Path(place, name)
            if _is_hidden(name):
                continue
            if path.is_file():
                files.append(path)
            else:
                left_out.append(f"{path}: {'a link to nothing' if path.is_symlink() else 'no file'}")
    return sorted(files), left_out


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")
