"""The end of a run: the report, into its folder, and a summary on the screen."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from cli.closing import Row, closing
from cli.planning.region import priced_region
from cli.run_costs import costs_of
from cli.screen import Screen
from protocol.messages import InvalidMessageError
from protocol.tensors import InvalidTensorsError
from reporting.files import replacing
from reporting.folder_access import telling_of_report
from reporting.pictures import formats
from reporting.pictures.recorded_run import RecordedRun, read
from reporting.pictures.report import report
from reporting.records import MODEL, REPORT
from reporting.run_folder import CorruptRunFolderError


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A report: where it is, how large, and of how many rounds."""

    path: str
    bytes: int
    rounds: int


def recorded(folder: Path) -> RecordedRun:
    """What a run folder has, and what its rounds cost, or would, in AWS.

    Raises:
        NoRunFolderError, CorruptRunFolderError: as RunFolder; also if its model can't be read.
    """
    run = read(folder)
    try:
        costs = costs_of(run, folder / MODEL, priced_region())
    except (OSError, InvalidTensorsError, InvalidMessageError) as error:
        raise CorruptRunFolderError(
            f"{folder / MODEL} is no model: {error}: put back the file as the run has written it, or remove it; "
            "without it dollars are left out"
        ) from error
    return msgspec.structs.replace(run, costs=costs)


def write_report(folder: Path) -> Written:
    """Write the report of a run folder, in the place of an earlier one.

    Raises:
        NoRunFolderError, CorruptRunFolderError: as `recorded`.
        RunFolderWriteError: see there.
    """
    run = recorded(folder)
    page = report(run).encode()
    path = folder / REPORT
    with telling_of_report(path), replacing(path) as file:
        file.write(page)
    return Written(path=str(path), bytes=len(page), rounds=len(run.rounds))


def show_closing(screen: Screen, folder: Path, more: Sequence[Row] = ()) -> None:
    """What a run came to, `more` of it, and where all of it is."""
    run = recorded(folder)
    rounds, clients = run.summary.totals.rounds, len({row.client for row in run.clients})
    screen.line(f"{formats.counted(rounds, 'round')} with {formats.counted(clients, 'device')}", "bold")
    for label, text in (*closing(run, folder), *more, ("run folder", str(folder)), ("report", f"{folder / REPORT}")):
        screen.line(f"{label:14}{text}")
