"""Where a simulation stands, on the disk: another process goes on from there, with the same bits.

The folder has, beside `standing.json`, the models, updates and residuals that it needs. Those come first, under names
that the standing before does not use for something else, and standing.json in one step: killed at any moment, the
folder has the one or the other. What it does not name any more is removed at last.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from cloud.averaging.new_model import FILES, File
from components.client import durable
from simulation.model_store import ModelStore
from simulation.simulation import Simulation, Standing

STANDING, MODELS, UPDATES, RESIDUALS = "standing.json", "models", "updates", "residuals"


class NoSavedStateError(LookupError):
    """There is no simulation to go on with."""


class OtherSimulationError(Exception):
    """The simulation that was saved is another one; the text says in what."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What standing.json says: of which simulation, as texts that may be shown, and where it stands."""

    of: dict[str, str]
    standing: Standing
    models: list[int]
    updates: list[tuple[int, str]]


class _Identity(msgspec.Struct, frozen=True):
    of: dict[str, str]


_Kind = TypeVar("_Kind", Saved, _Identity)


class SavedState:
    """The folder of one simulation; `of` says what it is of: what must be the same to go on with it."""

    def __init__(self, directory: Path, of: dict[str, str]) -> None:
        self.directory = directory
        self._of = of
        self._written: set[Path] = set()

    @property
    def residuals(self) -> Path:
        """Where the residuals lie."""
        return self.directory / RESIDUALS

    def save(self, simulation: Simulation) -> None:
        """Keeps where it stands."""
        for name in (MODELS, UPDATES):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        simulation.residuals.save()
        models = simulation.models.rounds
        for number in models:
            for file, data in simulation.models.files(number).items():
                self._write(self._model(number, file), data)
        for (number, thing), update in simulation.updates.items():
            self._write(self._update(number, thing), update)
        saved = Saved(of=self._of, standing=simulation.standing, models=models, updates=list(simulation.updates))
        durable.replace(self.directory / STANDING, msgspec.json.encode(saved))
        self._clean(saved)

    def load(self) -> tuple[Standing, ModelStore, dict[tuple[int, str], bytes]]:
        """Where it stood when it was saved last.

        Raises:
            NoSavedStateError, OtherSimulationError: see there.
        """
        saved = self._read(Saved)
        self._check(saved.of)
        models = {number: self._files_of(number) for number in saved.models}
        updates = {(number, thing): self._update(number, thing).read_bytes() for number, thing in saved.updates}
        return saved.standing, ModelStore(models), updates

    def check(self) -> None:
        """See that what was saved is of this simulation.

        Raises:
            NoSavedStateError, OtherSimulationError: see there.
        """
        self._check(self._read(_Identity).of)

    def _read(self, kind: type[_Kind]) -> _Kind:
        path = self.directory / STANDING
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            raise NoSavedStateError(f"there is no simulation to go on with: there is no {path}") from None
        except msgspec.DecodeError as error:
            raise NoSavedStateError(f"{path} is no simulation that this version can go on with: {error}") from error

    def _check(self, saved: dict[str, str]) -> None:
        for name, value in self._of.items():
            if saved.get(name) != value:
                raise OtherSimulationError(
                    f"{name} is {value}, and the simulation in {self.directory.parent} has {saved.get(name)}: "
                    "run it as it was begun, or into another folder"
                )

    def _files_of(self, number: int) -> dict[File, bytes]:
        paths = {file: self._model(number, file) for file in FILES}
        return {file: path.read_bytes() for file, path in paths.items() if path.exists()}

    def _write(self, path: Path, data: bytes) -> None:
        if path not in self._written:
            durable.replace(path, data)
            self._written.add(path)

    def _model(self, number: int, file: File) -> Path:
        return self.directory / MODELS / f"{number:08d}.{file}"

    def _update(self, number: int, thing: str) -> Path:
        return self.directory / UPDATES / f"{number:08d}.{thing}"

    def _clean(self, saved: Saved) -> None:
        wanted = {self._model(number, file) for number in saved.models for file in FILES}
        wanted |= {self._update(number, thing) for number, thing in saved.updates}
        for name in (MODELS, UPDATES):
            for path in (self.directory / name).iterdir():
                if path not in wanted:
                    path.unlink()
        self._written &= wanted
