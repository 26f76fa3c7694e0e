"""Where an experiment stands: which of its runs are done, begun, or to be begun."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from cli.experiments.runs import PlannedRun
from reporting.folder_access import RunFolderInUseError
from reporting.records import ROUNDS, SUMMARY
from reporting.run_folder import NoRunFolderError, read_summary
from simulation.run import STATE
from simulation.saved_state import NoSavedStateError, OtherSimulationError, SavedState

RunState = Literal["new", "begun", "done"]

_TOLD = 5


class OtherRunsError(Exception):
    """Runs that are there were made with other settings, data or code; the text names them, and the remedy."""


def states_of(runs: Iterable[PlannedRun]) -> dict[Path, RunState]:
    """Run folder -> how far it is.

    Raises:
        OtherRunsError: see there. Runs of different settings are never mixed, and none is thrown away.
        CorruptRunFolderError: a summary can't be read.
    """
    states: dict[Path, RunState] = {}
    other: list[str] = []
    for run in runs:
        try:
            states[run.out] = _state_of(run)
        except (OtherSimulationError, NoSavedStateError) as error:
            other.append(str(error))
    if other:
        more = [f"and {len(other) - _TOLD} more"] if len(other) > _TOLD else []
        raise OtherRunsError(
            "\n".join(
                [
                    "runs that are there are not those that are asked for; remove their folders, or name another out:",
                    *other[:_TOLD],
                    *more,
                ]
            )
        )
    return states


def _state_of(run: PlannedRun) -> RunState:
    rounds = run.out / ROUNDS
    if not rounds.exists() or not rounds.stat().st_size:
        return "new"
    SavedState(run.out / STATE, run.identity).check()
    try:
        return "done" if read_summary(run.out).status == "finished" else "begun"
    except NoRunFolderError:
        return "begun"


def clear(out: Path) -> None:
    """Remove what a run has left that was killed before its first round ended."""
    if any((out / name).exists() for name in (ROUNDS, SUMMARY)):
        shutil.rmtree(out)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """The folder of an experiment, for one process at a time.

    Raises:
        RunFolderInUseError: another one has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderInUseError(
                f"another experiment runs in {out}: wait for its end, or name another out"
            ) from None
        yield
    finally:
        os.close(descriptor)
