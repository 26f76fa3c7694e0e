"""A federation's rounds into a run folder: what is said of it."""

import contextlib
from pathlib import Path

from cli.commands.aws import operations_of
from cli.plurals import counted
from cli.screen import Screen
from reporting import fetching
from reporting.fetching import Fetched
from reporting.tracking_process import TrackerName

RUNS = Path("runs")
"""Where the folders of runs are made, each of its federation's name, if no other is named."""


def fetch(
    federation: str,
    path: Path,
    stack: str,
    screen: Screen,
    *,
    first: int = 1,
    last: int | None = None,
    track: TrackerName | None = None,
) -> Fetched:
    """Bring the folder up to date; says what is new, and what could not be read.

    Raises:
        NoStackError, UnknownFederationError: see there.
        MissingTrackerError, RunFolderExistsError, RunFolderInUseError, RunFolderWriteError, CorruptRunFolderError: as
            `reporting.fetching.fetch`.
    """
    operations = operations_of(stack)
    record = operations.federations.get(federation)
    with contextlib.ExitStack() as picture:
        if screen.is_terminal:
            screen.start_moving()
            picture.callback(screen.stop_moving)
        fetched = fetching.fetch(
            record,
            operations.rounds_reader,
            operations.models,
            path,
            first=first,
            last=last,
            track=track,
            look=lambda line: screen.picture(f"round {line.round:,} of {record.round:,}"),
            warn=lambda text: screen.line(f"warning: {text}"),
        )
    for problem in fetched.problems:
        screen.line(f"left out: {problem}")
    for kind, count in fetched.summary.left_out.items():
        screen.line(f"left out: {counted(count, kind)} that this version can't read")
    there, model = fetched.summary.totals.rounds, fetched.summary.model
    made = f"; the model of round {model.round}" if model else ""
    screen.line(f"{path}: {counted(fetched.new, 'new round')}, {there:,} in all{made}")
    return fetched
