"""The report of a run, into its folder."""

from pathlib import Path

import msgspec

from cli.planning.region import priced_region
from cli.run_costs import costs_of
from reporting.files import replacing
from reporting.folder_access import telling
from reporting.pictures.recorded_run import read
from reporting.pictures.report import report
from reporting.records import MODEL, REPORT


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A report: where it is, how large, and of how many rounds."""

    path: str
    bytes: int
    rounds: int


def write_report(folder: Path) -> Written:
    """Write the report of a run folder, in the place of an earlier one.

    Raises:
        NoRunFolderError, CorruptRunFolderError: as RunFolder.
        InvalidTensorsError, InvalidMessageError: its model can't be read.
        RunFolderWriteError: see there.
    """
    run = read(folder)
    run = msgspec.structs.replace(run, costs=costs_of(run, folder / MODEL, priced_region()))
    page = report(run).encode()
    path = folder / REPORT
    with telling(folder), replacing(path) as file:
        file.write(page)
    return Written(path=str(path), bytes=len(page), rounds=len(run.rounds))
