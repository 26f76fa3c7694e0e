"""Writes who gets what: clients/<name>/ and holdout/, each in the source's own format, and split.json, which tells how
it was made. All of it appears, or nothing does."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec
import numpy as np

from cli.datasets.dataset import Column, Rows, Source
from cli.datasets.dividing import Division, Request, divide
from cli.plurals import counted
from components.text import printable

CLIENTS: Final = "clients"
HOLDOUT: Final = "holdout"
RECORD: Final = "split.json"
PLOT: Final = "split.svg"

VERSION: Final = 1
"""Of split.json."""

_UNFINISHED = ".unfinished"


class OutputInUseError(ValueError):
    """The directory for the clients' data is already in use, or can't be one."""


class UnwritableOutputError(OSError):
    """The clients' data can't be written; the text says why."""


class Share(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one client has, or the holdout: how many examples, and how many of each label. `value` is what of the column
    of a split by one it stands for."""

    examples: int
    labels: dict[str, int] = {}
    value: str | None = None


class SplitRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a split was made, and what it gave: the content of split.json. `sha256` is that of the source, if it is a
    file; else that of the lines which sha256sum would write about its files."""

    v: int
    source: str
    kind: str
    files: int
    sha256: str
    split: str
    seed: int
    holdout_asked: str = ""
    label: str | None = None
    labels: list[str] = []
    names: list[str] = []
    notes: list[str] = []
    clients: dict[str, Share]
    holdout: Share | None = None


Draw: TypeAlias = Callable[[SplitRecord, Path], None]
"""Draws who has what into a file."""


class Written(NamedTuple):
    """What `write` wrote."""

    clients: dict[str, Path]
    holdout: Path | None
    record: SplitRecord


def share_out(source: Source, request: Request, directory: Path, draw: Draw | None = None) -> Written:
    """Divides a source's examples as the request says, and writes each client's; `draw` may add a picture.

    Raises:
        as cli.datasets.dividing.divide, and as `write`.
    """
    _check_free(directory, source)
    division = divide(source.examples, request, held_out_already=source.holdout is not None)
    return write(source, division, request, directory, draw)


def write(source: Source, division: Division, request: Request, directory: Path, draw: Draw | None = None) -> Written:
    """Writes the clients' folders, the holdout's if there is one, and the record into `directory`.

    Raises:
        OutputInUseError: the directory holds something already, or lies in the source.
        UnwritableOutputError: it can't be written, as on a full disk; what was written is removed.
    """
    _check_free(directory, source)
    with _all_or_nothing(directory) as unfinished:
        for name, rows in division.clients.items():
            source.examples.write(rows, unfinished / CLIENTS / name, held_out=False)
        if source.holdout is not None:
            source.holdout.write(np.arange(len(source.holdout)), unfinished / HOLDOUT, held_out=True)
        elif len(division.holdout):
            source.examples.write(division.holdout, unfinished / HOLDOUT, held_out=True)
        record = describe(source, division, request)
        content = msgspec.json.format(msgspec.json.encode(record), indent=2)
        (unfinished / RECORD).write_bytes(content + b"\n")
        if draw is not None:
            draw(record, unfinished / PLOT)
    holdout = directory / HOLDOUT if record.holdout is not None else None
    return Written({name: directory / CLIENTS / name for name in division.clients}, holdout, record)


def describe(source: Source, division: Division, request: Request) -> SplitRecord:
    """The record of a split."""

    def share(rows: Rows, value: str | None = None) -> Share:
        return Share(len(rows), _counts(division.labels, rows), None if value is None else printable(value))

    holdout = share(division.holdout) if len(division.holdout) else None
    if source.holdout is not None:
        everything = np.arange(len(source.holdout))
        labelled = division.label is not None and division.label in source.holdout.columns
        labels = source.holdout.column(division.label) if labelled and division.label else None
        holdout = Share(len(everything), _counts(labels, everything))
    return SplitRecord(
        v=VERSION,
        source=printable(str(source.path)),
        kind=source.kind,
        files=len(source.files),
        sha256=_hash(source),
        split=str(request.split),
        seed=request.seed,
        holdout_asked=str(request.holdout or ""),
        label=division.label,
        labels=list(map(printable, division.labels.values)) if division.labels else [],
        names=list(request.names),
        notes=[*map(printable, source.examples.notes), *map(printable, division.notes)],
        clients={name: share(rows, division.values.get(name)) for name, rows in division.clients.items()},
        holdout=holdout,
    )


def _counts(labels: Column | None, rows: Rows) -> dict[str, int]:
    if labels is None:
        return {}
    codes, counts = np.unique(labels.codes[rows], return_counts=True)
    return {printable(labels.values[code]): int(count) for code, count in zip(codes, counts, strict=True) if code >= 0}


def _hash(source: Source) -> str:
    if source.files == (source.path,):
        return _file_hash(source.path)
    digest = hashlib.sha256()
    for file in source.files:
        digest.update(
            f"{_file_hash(file)}  {file.relative_to(source.path).as_posix()}\n".encode(errors="surrogateescape")
        )
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_free(directory: Path, source: Source) -> None:
    if directory.is_symlink() and not directory.exists():
        raise OutputInUseError(f"{directory} is a link to nothing: name another folder")
    if directory.exists() and not directory.is_dir():
        raise OutputInUseError(f"{directory} is a file: name a folder that is not there yet")
    if directory.is_dir() and (there := sorted(path.name for path in directory.iterdir())):
        some = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
        raise OutputInUseError(
            f"{directory} is not empty ({counted(len(there), 'entry')}: {some}): name another folder, or remove it"
        )
    if source.path.is_dir() and directory.resolve().is_relative_to(source.path.resolve()):
        raise OutputInUseError(f"{directory} lies in {source.path}, which it would be part of: name a folder beside it")


@contextmanager
def _all_or_nothing(directory: Path) -> Iterator[Path]:
    """A folder whose content becomes that of `directory` at the end; if anything prevents that, Ctrl-C included, all is
    as before."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    unfinished = directory / _UNFINISHED
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        for path in sorted(unfinished.iterdir(), key=lambda path: (path.name == RECORD, path.name)):
            path.rename(directory / path.name)
        unfinished.rmdir()
    except BaseException as error:
        for path in (unfinished, directory / CLIENTS, directory / HOLDOUT):
            shutil.rmtree(path, ignore_errors=True)
        (directory / PLOT).unlink(missing_ok=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or f"{error} (is the disk full?)"
            raise UnwritableOutputError(f"{directory} can't be written: {reason}; nothing of it is left") from error
        raise
