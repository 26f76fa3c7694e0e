"""Folders of pictures: one folder a label, as torchvision's ImageFolder has them.

Every client gets a folder for each label, though it may have no picture of it: programs number labels by the folders
that they find, and all clients have to agree.
"""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np

from cli.datasets.dataset import Column, DatasetError, Rows, Source, coded
from cli.plurals import counted

LABEL: Final = "label"
FOLDER: Final = "folder"
ENDINGS: Final = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff"))

_TRAINING = ("train", "training")
_TESTS = ("test", "testing", "val", "valid", "validation")
PARTS: Final = frozenset((*_TRAINING, *_TESTS))
"""Folders that hold one part of a set each, with the labels' folders in it."""
_NAMED = 3


class PictureSet:
    """Pictures as a data set. Its columns are the label, and the folders below that, if pictures lie in such."""

    label = LABEL

    def __init__(self, path: Path, root: Path, files: Sequence[Path], labels: Sequence[str], notes: tuple[str, ...]):
        self.path = path
        self.notes = notes
        self._root = root
        self._files = files
        self._labels = labels
        inner = [os.path.dirname(file.relative_to(root).as_posix().split("/", 1)[1]) for file in files]  # noqa: PTH120
        self._columns = {LABEL: [file.relative_to(root).parts[0] for file in files]}
        if any(inner):
            self._columns[FOLDER] = inner

    def __len__(self) -> int:
        return len(self._files)

    @property
    def columns(self) -> tuple[str, ...]:
        """The label, and maybe the folder within it."""
        return tuple(self._columns)

    def column(self, name: str) -> Column:
        """What each picture's place tells."""
        return coded(np.array(self._columns[name]))

    def write(self, rows: Rows, directory: Path, *, held_out: bool) -> None:  # noqa: ARG002 - nothing else is held out
        """The same folders; files are hard links to the source's, or copies where there can be no link."""
        for label in self._labels:
            (directory / label).mkdir(parents=True)
        for row in rows:
            target = directory / self._files[row].relative_to(self._root)
            target.parent.mkdir(parents=True, exist_ok=True)
            original = self._files[row].resolve()
            try:
                target.hardlink_to(original)
            except OSError:
                shutil.copyfile(original, target)


def is_picture(path: Path) -> bool:
    """Whether a file has a picture's name."""
    return path.suffix.lower() in ENDINGS


def open_pictures(folder: Path, files: list[Path], left_out: tuple[str, ...]) -> Source:
    """The pictures of a folder, of which those that are damaged are left out. A folder that has train/ and test/ holds
    its labels in these: what is in test/ (or val/) is its holdout.

    Raises:
        DatasetError: pictures lie beside the labels' folders, or most of them are damaged.
    """
    roots = {file.relative_to(folder).parts[0] for file in files if len(file.relative_to(folder).parts) > 1}
    if len(roots) > 1 and roots <= PARTS:
        training = [folder / name for name in _TRAINING if name in roots]
        tests = [folder / name for name in _TESTS if name in roots]
        if len(training) != 1 or len(tests) != 1:
            raise DatasetError(
                f"{folder} has {', '.join(sorted(roots))}: leave one folder to train and one for tests, "
                "or name the one whose pictures are to be split"
            )
        parts = [
            _PartOfSource(folder, root, [file for file in files if file.is_relative_to(root)])
            for root in (*training, *tests)
        ]
        labels = sorted({label for part in parts for label in part.labels})
        return Source(folder, "pictures", tuple(files), parts[0].opened(labels, left_out), parts[1].opened(labels, ()))
    part = _PartOfSource(folder, folder, files)
    return Source(folder, "pictures", tuple(files), part.opened(part.labels, left_out))


class _PartOfSource:
    def __init__(self, folder: Path, root: Path, files: list[Path]) -> None:
        loose = [file for file in files if file.parent == root]
        if loose:
            raise DatasetError(
                f"{root} itself has {counted(len(loose), 'picture')} in it, such as {loose[0].name}: "
                "put each into a folder that has its label as its name"
            )
        self._folder, self._root = folder, root
        reasons = _damages(files)
        self._damaged = [(file, reason) for file, reason in zip(files, reasons, strict=True) if reason]
        self._files = [file for file, reason in zip(files, reasons, strict=True) if not reason]
        if len(self._damaged) > len(self._files):
            file, reason = self._damaged[0]
            raise DatasetError(
                f"{len(self._damaged)} of {counted(len(files), 'picture')} in {root} can't be read, such as {file}: "
                f"{reason}; get them again"
            )
        self.labels = sorted({file.relative_to(root).parts[0] for file in files})

    def opened(self, labels: Sequence[str], left_out: tuple[str, ...]) -> PictureSet:
        notes = [*left_out]
        if self._damaged:
            some = ", ".join(f"{file.relative_to(self._folder)} ({reason})" for file, reason in self._damaged[:_NAMED])
            more = len(self._damaged) - _NAMED
            others = f" and {more} more" if more > 0 else ""
            notes.append(f"{counted(len(self._damaged), 'damaged picture')} left out: {some}{others}")
        return PictureSet(self._folder, self._root, self._files, labels, tuple(notes))


def _damages(files: Sequence[Path]) -> list[str]:
    """For each file why it can't be shown, or nothing."""
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 1)) as threads:
        return list(threads.map(_damage, files))


def _damage(file: Path) -> str:
    from PIL import Image, UnidentifiedImageError

    try:
        if not file.stat().st_size:
            return "empty"
        with Image.open(file) as picture:
            picture.draft("L", (64, 64))  # a JPEG is then read to its end, and decoded small
            picture.load()
    except UnidentifiedImageError:
        return "no picture"
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        return str(error) or type(error).__name__
    return ""
