"""A run folder, to be written while the rounds go on.

A round's rows are in clients.csv before its line is in rounds.jsonl: the line says that the round is there, and what
follows the last whole one is not. Both are written through to the operating system with each round, so that they
outlast the process; forced to the disk, together with the model and the summary, they are at most once in SAVE_S, since
rounds of a simulation take milliseconds.
"""

import fcntl
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from cloud.settings import Federation
from cloud.state.records import RoundRecord
from cloud.state.rounds import Responses
from protocol.messages import ModelHeader, Numbers, decode
from protocol.tensors import parse_header
from reporting import settings_file
from reporting.clients_file import ClientsFile
from reporting.files import TEMPORARY, AppendedFile, replacing
from reporting.folder_access import RunFolderExistsError, check_free, locked, of_another, telling
from reporting.measuring import client_rows, encodable, round_line
from reporting.records import (
    CLIENTS,
    CONFIG,
    FILES,
    MODEL,
    ROUNDS,
    SCHEMAS,
    SUMMARY,
    TORCH_MODEL,
    Clock,
    RoundLine,
    RunStatus,
    SavedModel,
    Source,
    Summary,
)
from reporting.run_folder import lines_of, read_summary
from reporting.summarizing import Tally
from reporting.versions import versions

SAVE_S = 2.0


class RunWriter:
    """Writes a run folder, for the time of a `with` block. One that ends before `finish` was interrupted, or failed.

    All that writes may raise RunFolderWriteError.
    """

    def __init__(self, path: Path, rounds: AppendedFile, summary: Summary, tally: Tally) -> None:
        """Use `create` or `resume`."""
        self.path = path
        self._rounds = rounds
        self._clients = ClientsFile(path / CLIENTS, tally.rounds)
        self._summary = summary
        self._tally = tally
        self._model: bytes | None = None
        self._saved_at: float | None = None
        self._is_closed = False

    @classmethod
    def create(
        cls, path: Path, *, source: Source, settings: Federation, life: str = "", clock: Clock = "wall"
    ) -> "RunWriter":
        """A new run folder; `path` may be there, with other files. `clock` says whose seconds the rounds' times are.

        Raises:
            RunFolderExistsError: see there.
            RunFolderInUseError: see there.
        """
        now, path = time.time(), path.absolute()
        summary = Summary(
            source=source,
            federation=settings.name,
            life=life,
            status="running",
            clock=clock,
            rounds_asked=settings.rounds,
            created_at=now,
            written_at=now,
            versions=versions(),
        )
        with telling(path):
            check_free(path)
            path.mkdir(parents=True, exist_ok=True)
            with locked(path) as rounds:
                return cls(path, rounds, summary, Tally())._begin(settings)

    @classmethod
    def resume(
        cls, path: Path, *, source: Source, settings: Federation, life: str = "", after: int | None = None
    ) -> "RunWriter":
        """Go on with a run folder: after its last round, or after an earlier one, in which case later ones are removed.

        Raises:
            NoRunFolderError: there is none.
            CorruptRunFolderError: it can't be read.
            RunFolderExistsError: it is of another source, another federation, or another life of it.
            RunFolderInUseError: see there.
        """
        path = path.absolute()
        summary = read_summary(path)
        if (summary.source, summary.federation, summary.life) != (source, settings.name, life):
            raise RunFolderExistsError(of_another(path, summary))
        summary = msgspec.structs.replace(summary, status="running", reason=None, versions=versions())
        with telling(path), locked(path) as rounds:
            tally, size = Tally(), 0
            for line, end in lines_of(path / ROUNDS):
                if after is not None and line.round > after:
                    break
                tally, size = tally.after(line), end
            rounds.keep(size)
            for name in FILES:
                (path / (name + TEMPORARY)).unlink(missing_ok=True)
            return cls(path, rounds, summary, tally)._begin(settings)

    @property
    def last_round(self) -> int:
        """The number of the last round that is in the folder, 0 if there is none."""
        return self._tally.rounds

    @property
    def summary(self) -> Summary:
        """What was last written of the run as a whole."""
        return self._summary

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_closed:
            return
        try:
            if isinstance(error, Exception):
                self.finish("failed", encodable(str(error)))
            else:
                self.finish("interrupted")
        finally:
            self._close()

    def set_settings(self, settings: Federation) -> None:
        """The federation's settings from now on."""
        with telling(self.path), replacing(self.path / CONFIG) as file:
            file.write(settings_file.yaml_of(settings).encode())
        self._say(rounds_asked=settings.rounds, seed=settings.training.seed)

    def set_model(self, data: bytes) -> None:
        """The current global model: its file."""
        self._model = data

    def add_round(
        self,
        record: RoundRecord,
        responses: Responses,
        *,
        held_out: Numbers | None = None,
        model: bytes | None = None,
    ) -> RoundLine | None:
        """Add a round that has ended, and the file of the model that it made; returns what rounds.jsonl says of it. One
        that is not after the last round is there already: nothing happens.

        Raises:
            ValueError: the round goes on.
        """
        if record.round <= self.last_round:
            return None
        previous_end = self._tally.ended_at if record.round == self.last_round + 1 else None
        line = round_line(record, responses, previous_end, held_out)
        with telling(self.path):
            self._clients.append(client_rows(record, responses), sorted({*line.metrics, *line.not_finite}))
            self._rounds.append(msgspec.json.encode(line) + b"\n")
            self._clients.keep()
        self._tally = self._tally.after(line)
        self._say(best=record.best, stopped=record.stopped, spent_usd=record.spent_usd)
        if model is not None:
            self.set_model(model)
        if self._saved_at is None or time.monotonic() - self._saved_at >= SAVE_S:
            self.save()
        return line

    def leave_out(self, kinds: Mapping[str, int]) -> None:
        """Note how many records could not be read, by kind."""
        self._say(left_out=dict(kinds))

    def save(self) -> None:
        """Force all to the disk, the model and the summary as well."""
        with telling(self.path):
            self._clients.sync()
            self._rounds.sync()
            if self._model is not None:
                self._write_model(self._model)
                self._model = None
            self._write_summary()
        self._saved_at = time.monotonic()

    def finish(self, status: RunStatus, reason: str | None = None) -> Summary:
        """Save all, with the model as torch has it, and end writing; returns the summary."""
        self._say(status=status, reason=reason)
        self.save()
        self._say(torch_model_missing=self._write_torch_model())
        with telling(self.path):
            self._write_summary()
        self._close()
        return self._summary

    def _begin(self, settings: Federation) -> Self:
        self.set_settings(settings)
        if (self.path / MODEL).exists():
            self._say(model=_described((self.path / MODEL).read_bytes()))
        self._write_summary()
        return self

    def _say(self, **changes: Any) -> None:
        """Have the summary say something else, the next time that it is written."""
        self._summary = msgspec.structs.replace(self._summary, **changes)

    def _write_model(self, data: bytes) -> None:
        (self.path / TORCH_MODEL).unlink(missing_ok=True)  # is of an earlier model
        with replacing(self.path / MODEL) as file:
            file.write(data)
        self._say(model=_described(data), torch_model_missing="it is written when the run ends")

    def _write_torch_model(self) -> str | None:
        """Why there is none, if there is none."""
        if self._summary.model is None:
            return "there is no model"
        if (self.path / TORCH_MODEL).exists():
            return None
        try:
            from reporting import torch_file
        except (ImportError, OSError) as error:  # it has libraries of its own
            return f"torch can't be imported: {error}"
        with telling(self.path), replacing(self.path / TORCH_MODEL) as file:
            torch_file.write((self.path / MODEL).read_bytes(), file)
        return None

    def _write_summary(self) -> None:
        self._say(**msgspec.structs.asdict(self._tally), written_at=time.time(), schemas=SCHEMAS)
        with replacing(self.path / SUMMARY) as file:
            file.write(msgspec.json.format(msgspec.json.encode(self._summary)) + b"\n")

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        fcntl.flock(self._rounds.fileno(), fcntl.LOCK_UN)  # closing it would not do, if a process was forked meanwhile
        self._clients.close()
        self._rounds.close()


def _described(model: bytes) -> SavedModel:
    about = decode(parse_header(model, len(model)).message, ModelHeader)
    return SavedModel(round=about.round, sha256=hashlib.sha256(model).hexdigest(), bytes=len(model))
