"""Who may write to a run folder, and what is said if it can't be written to."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reporting.files import AppendedFile, try_folder
from reporting.records import FILES, ROUNDS, SUMMARY, Summary
from reporting.run_folder import NoRunFolderError, read_summary

_OF_A_PROJECT = ("federation.yaml", "task.py")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class RunFolderExistsError(Exception):
    """There is something in the way: another run, or files that are none's; the text names it, and the remedy."""


class RunFolderInUseError(Exception):
    """Another process writes this run folder."""


class RunFolderWriteError(Exception):
    """The folder could not be written to. What was there before is still there, and whole: once there is room, the same
    call can be made again, or the run be resumed."""


def check_free(path: Path) -> None:
    """Pass if no run is in a folder, and no file that would be in a run's way, and if it is no project's folder, all of
    which goes to devices.

    Raises:
        RunFolderExistsError: see there.
        CorruptRunFolderError: see there.
    """
    if path.exists() and not path.is_dir():
        raise RunFolderExistsError(f"{path} is no folder: name one that is not there yet")
    for name in _OF_A_PROJECT:
        if (path / name).exists():
            raise RunFolderExistsError(f"{path} has {name}, so it is a project's: name a folder for the run alone")
    try:
        summary = read_summary(path)
    except NoRunFolderError:
        killed_at_once = (path / ROUNDS).exists() and not (path / ROUNDS).stat().st_size
        for name in FILES:
            if (path / name).exists() and not killed_at_once:
                raise RunFolderExistsError(
                    f"{path / name} is there already, and is no run's: remove it, or name another folder"
                ) from None
        return
    raise RunFolderExistsError(of_another(path, summary))


def of_another(path: Path, summary: Summary) -> str:
    """Which run is in a folder, and what to do."""
    life = f", life {summary.life}" if summary.life else ""
    return (
        f"{path} holds a run of federation {summary.federation!r}{life}, by {summary.source}, with "
        f"{summary.rounds} of {summary.rounds_asked} rounds: go on with that run, remove the folder, or name another"
    )


def check_usable(path: Path) -> None:
    """Pass if a run can be written to a folder, which is not there yet, or free.

    Raises:
        RunFolderWriteError: nothing can be written there.
        RunFolderExistsError, CorruptRunFolderError: as for `check_free`.
    """
    with telling(path):
        check_free(path)
        try_folder(path)


@contextmanager
def locked(path: Path) -> Iterator[AppendedFile]:
    """rounds.jsonl, for one writer at a time, until it is closed or its process ends.

    Raises:
        RunFolderInUseError: see there.
    """
    rounds = AppendedFile(path / ROUNDS)
    try:
        try:
            fcntl.flock(rounds.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderInUseError(
                f"{path} is being written by another process: wait for its end, or name another folder"
            ) from None
        yield rounds
    except BaseException:
        rounds.close()
        raise


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Say what of a run can't be written, and what to do.

    Raises:
        RunFolderWriteError: see there.
    """
    try:
        yield
    except OSError as error:
        what, remedy = _what_and_remedy(error, "mend that, or name another folder")
        if os.path.exists(path / SUMMARY):  # noqa: PTH110 - a Path tells of no folder that may not be looked into
            remedy = f"what it has is whole: {remedy}, and go on with the run"
        raise RunFolderWriteError(f"the run folder {path} can't be written: {what}; {remedy}") from error


@contextmanager
def telling_of_report(report: Path) -> Iterator[None]:
    """Say why a report can't be written, and what to do.

    Raises:
        RunFolderWriteError: see there.
    """
    try:
        yield
    except OSError as error:
        what, remedy = _what_and_remedy(error, "mend that, or copy the folder to where you may write")
        raise RunFolderWriteError(
            f"the report {report} can't be written: {what}: {remedy}, and give `fedgrass report {report.parent}`"
        ) from error


def _what_and_remedy(error: OSError, otherwise: str) -> tuple[str, str]:
    return error.strerror or str(error), "make room" if error.errno in _NO_ROOM else otherwise
