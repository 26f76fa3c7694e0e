"""A run folder, to be read: also while it is written, and after its writer was killed."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from cloud.settings import Federation
from reporting import clients_file, settings_file
from reporting.records import CLIENTS, CONFIG, MODEL, ROUNDS, SUMMARY, TORCH_MODEL, ClientRow, RoundLine, Summary


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

    @property
    def model(self) -> Path:
        """Where the last global model lies, if there is one."""
        return self.path / MODEL

    @property
    def torch_model(self) -> Path:
        """Where it lies as torch saves it, if it does."""
        return self.path / TORCH_MODEL

    def settings(self) -> Federation:
        """The federation's settings, as they were last."""
        try:
            return settings_file.read(self.path / CONFIG)
        except (OSError, ValueError) as error:
            raise CorruptRunFolderError(str(error)) from error

    def rounds(self) -> Iterator[RoundLine]:
        """The rounds, in their order."""
        return (line for line, _ in lines_of(self.path / ROUNDS))

    def clients(self) -> Iterator[ClientRow]:
        """What became of each client in each of these rounds, in the order of rounds and names."""
        last = 0
        for line in self.rounds():
            last = line.round
        try:
            yield from clients_file.read(self.path / CLIENTS, last)
        except (OSError, ValueError) as error:
            raise CorruptRunFolderError(str(error)) from error


def read_summary(path: Path) -> Summary:
    """A run folder's summary.

    Raises:
        NoRunFolderError: there is none.
        CorruptRunFolderError: it says something else.
    """
    file = path / SUMMARY
    try:
        return msgspec.json.decode(file.read_bytes(), type=Summary)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoRunFolderError(f"{path} is no run folder: it has no {SUMMARY}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise CorruptRunFolderError(f"{file} is no summary of a run: {error}") from error


def lines_of(path: Path) -> Iterator[tuple[RoundLine, int]]:
    """The rounds of a rounds.jsonl, and where in bytes each of their lines ends. A last line without its end was not
    finished, and is left out.

    Raises:
        CorruptRunFolderError: a line is no round.
    """
    decoder = msgspec.json.Decoder(RoundLine)
    end = 0
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith(b"\n"):
                return
            end += len(text)
            try:
                yield decoder.decode(text), end
            except (msgspec.DecodeError, UnicodeError) as error:
                raise CorruptRunFolderError(f"{path}:{number}: no round: {error}") from error
