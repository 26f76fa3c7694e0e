"""A run folder, to be read: also while it is written, and after its writer was killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cloud.settings import Federation
from reporting import clients_file, settings_file
from reporting.records import CLIENTS, CONFIG, ROUNDS, SCHEMAS, SUMMARY, ClientRow, RoundLine, Summary, Versions


class NoRunFolderError(LookupError):
    """There is no run folder here."""


class CorruptRunFolderError(Exception):
    """A file of a run folder says something else than it should; the text names it, and the line."""


class RunFolder:
    """The folder of a run.

    Raises:
        NoRunFolderError: this is none.
        CorruptRunFolderError: see there; also when it is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.summary = read_summary(path)

    def settings(self) -> Federation:
        """The federation's settings, as they were last."""
        with _reading(self.path / CONFIG):
            return settings_file.read(self.path / CONFIG)

    def rounds(self) -> Iterator[RoundLine]:
        """The rounds, in their order."""
        return (line for line, _ in lines_of(self.path / ROUNDS))

    def clients(self) -> Iterator[ClientRow]:
        """What became of each client in each of these rounds, in the order of rounds and names."""
        last, rounds_with_rows, found = 0, set[int](), set[int]()
        for line in self.rounds():
            last = line.round
            if line.cohort:
                rounds_with_rows.add(line.round)
        with _reading(self.path / CLIENTS):
            for row in clients_file.read(self.path / CLIENTS, last):
                found.add(row.round)
                yield row
            if missing := rounds_with_rows - found:
                raise ValueError(f"{self.path / CLIENTS} has no client of round {min(missing)}, which has ended")


def read_summary(path: Path) -> Summary:
    """A run folder's summary.

    Raises:
        NoRunFolderError: there is none.
        CorruptRunFolderError: it says something else, or files of the folder say what only newer versions understand.
    """
    file = path / SUMMARY
    with _reading(file):
        try:
            data = file.read_bytes()
        except FileNotFoundError as error:
            what = f"is no run folder: it has no {SUMMARY}" if path.exists() else "is not there"
            raise NoRunFolderError(f"{path} {what}: name the folder that a run has written") from error
        except NotADirectoryError as error:
            raise NoRunFolderError(f"{path} is no folder: name the one that a run has written") from error
        try:
            _check_versions(file, msgspec.json.decode(data, type=_Written))
            return msgspec.json.decode(data, type=Summary)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ValueError(f"{file} is no summary of a run: {error}") from error


class _Written(msgspec.Struct, frozen=True):
    """What any version's summary says of who wrote it."""

    versions: Versions
    schemas: dict[str, int] = {}


def _check_versions(file: Path, written: _Written) -> None:
    for name, known in SCHEMAS.items():
        if (version := written.schemas.get(name, known)) > known:
            raise CorruptRunFolderError(
                f"{file.with_name(name)} is of version {version}, and this fedgrass reads {known}: "
                f"use the fedgrass that wrote it ({written.versions.fedgrass or 'not known which'}), or a newer one"
            )


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Say which file is damaged, and what to do.

    Raises:
        CorruptRunFolderError: see there.
    """
    remedy = "put back the file as the run has written it, or run again into another folder"
    try:
        yield
    except OSError as error:
        what = "is not there" if isinstance(error, FileNotFoundError) else f"can't be read ({error.strerror})"
        raise CorruptRunFolderError(f"{file} {what}: {remedy}") from error
    except ValueError as error:
        raise CorruptRunFolderError(f"{error}: {remedy}") from error


def lines_of(path: Path) -> Iterator[tuple[RoundLine, int]]:
    """The rounds of a rounds.jsonl, and where in bytes each of their lines ends. A last line without its end was not
    finished, and is left out.

    Raises:
        CorruptRunFolderError: a line is no round.
    """
    decoder = msgspec.json.Decoder(RoundLine)
    end = 0
    with _reading(path), path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith(b"\n"):
                return
            end += len(text)
            try:
                line = decoder.decode(text)
            except (msgspec.DecodeError, UnicodeError) as error:
                raise ValueError(f"{path}:{number}: no round: {error}") from error
            yield line, end
