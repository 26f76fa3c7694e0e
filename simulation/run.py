"""A simulation from its beginning, or from where it stopped, to its last round, and the run folder that it leaves.

Beside the folder's files is `state/`: where the simulation stands. Both are saved at most once in SAVE_S; rounds after
the last that was saved are simulated again, and come out the same.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import msgspec

from cloud.pricing.prices import REGION
from cloud.settings import Federation
from protocol.messages import Numbers
from reporting.records import RoundLine, Summary
from reporting.run_writer import RunWriter
from reporting.tracking import tracking
from reporting.tracking_process import TrackerName
from simulation.backend import Backend
from simulation.devices import Fleet
from simulation.model_store import ModelFiles, ModelStore, round_of
from simulation.saved_state import SavedState
from simulation.simulation import EndedRound, Simulation, beginning
from simulation.stopping import Stop

STATE = "state"
SAVE_S = 1.0

OF_AVERAGE = "ema_"
"""So begin the names of metrics of the moving average of the models."""


class Score(msgspec.Struct, frozen=True):
    """How each `every`-th model, and the last one, is scored on held-out data; and the moving average of the models, if
    there is one."""

    score: Callable[[bytes], Numbers]
    every: int = 1

    def of(self, ended: EndedRound, files: ModelFiles) -> Numbers:
        """The metrics of the model after a round; none, if it is not its turn."""
        is_last = ended.federation.status == "finished"
        if not is_last and ended.record.round % self.every:
            return {}
        average = self.score(files["ema"]) if "ema" in files else {}
        return self.score(files["model"]) | {f"{OF_AVERAGE}{name}": value for name, value in average.items()}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be simulated. `of` says what must be the same to go on with it later; rounds cost what they would in
    AWS's `region`."""

    settings: Federation
    things: tuple[str, ...]
    fleet: Fleet
    policies: ModuleType | None
    of: dict[str, str]
    region: str = REGION

    def into(
        self,
        out: Path,
        backend: Backend,
        files: ModelFiles,
        score: Score | None,
        look: Callable[[RoundLine, EndedRound], None],
        stop: Stop,
        *,
        resume: bool,
        track: TrackerName | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> Summary:
        """Simulates all rounds, from the initial model's `files`. `look` is called with each round that has ended,
        and the tracker told of it; `warn` if that fails. A round that is simulated again is told again.

        Raises:
            SimulationStoppedError: a signal has come, and what there is has been saved.
            NotEnoughClientsError, InvalidPolicyError: as `Simulation.run`.
            MissingTrackerError: see there.
            NoSavedStateError, OtherSimulationError: as `SavedState.load`, if it is to go on.
            RunFolderExistsError, RunFolderInUseError, RunFolderWriteError, NoRunFolderError, CorruptRunFolderError: as
                `RunWriter`.
        """
        state = SavedState(out / STATE, self.of)
        if resume:
            standing, models, updates = state.load()
            after = standing.federation.round
            writer = RunWriter.resume(out, source="simulate", settings=self.settings, after=after)
        else:
            standing, models, updates = beginning(self.settings, files, self.things), ModelStore({0: files}), {}
            writer = RunWriter.create(out, source="simulate", settings=self.settings, clock="simulated")
        with writer, tracking(track, out, writer.summary, self.settings, warn) as tell:
            simulation = Simulation(
                standing, models, backend, self.fleet, state.residuals, self.policies, updates, self.region
            )
            state.save(simulation)
            saved_at = time.monotonic()
            for ended, held_out in stop.working(_scored(simulation, score)):
                model = simulation.models.model(ended.federation.model)
                line = writer.add_round(ended.record, ended.responses, held_out=held_out, model=model)
                is_last = ended.federation.status == "finished"
                if time.monotonic() - saved_at >= SAVE_S or is_last:
                    writer.save()
                    state.save(simulation)
                    saved_at = time.monotonic()
                if line is not None:
                    tell(line)
                    look(line, ended)
            return writer.finish("finished")


def _scored(simulation: Simulation, score: Score | None) -> Iterator[tuple[EndedRound, Numbers]]:
    """The rounds, and the metrics of their models on held-out data."""
    for ended in simulation.run():
        files = simulation.models.files(round_of(ended.federation.model))
        yield ended, score.of(ended, files) if score else {}
