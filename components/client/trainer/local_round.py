"""One client's part in a round: download, evaluate, train, evaluate, upload; or download, evaluate, upload."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch

from components.client import __version__, device, durable, logs
from components.client.exchange import TrainerConfiguration
from components.client.reasons import shorten
from components.client.trainer.files.checkpoints import Checkpoints
from components.client.trainer.files.residual import Owner, Residuals
from components.client.trainer.files.round_files import Belonging, RoundFiles, Update, UpdateState
from components.client.trainer.files.upload_description import SENT, describe
from components.client.trainer.interruptions import NotReadyError, StoppedError
from components.client.trainer.learning.local_data import DataError, LocalData
from components.client.trainer.local_update import GlobalModel, LocalUpdate, Trained, fresh_networks
from components.client.trainer.rate_limiter import TokenBucket
from components.client.trainer.s3 import s3_client
from components.client.trainer.s3.transfer import Transfer
from components.client.trainer.task import returned_values
from components.client.trainer.task.loading import TaskError, load_task
from components.client.trainer.task.unpacking import unpack
from fedgrass.task import Client, listen_to_progress, use_checkpoints
from protocol import names, tensors
from protocol.encoding_traits import traits_of
from protocol.messages import Assignment, Phase, Progress, Report, Timings

log = logging.getLogger(__name__)

PROGRESS_BURST = 20
PROGRESS_PER_S = 10.0
"""How often progress within a phase is passed on: a task may tell it at each step."""


class LocalTrainer:
    """Does local rounds for one device. The data that is loaded in the first round is kept for the next ones. The model
    is built anew for each use, so that none sees what another has left in it.

    `say` is called with the progress, `loaded` with the number of examples, `entered` with each step's name.

    Raises:
        UnpackingError: task.zip among the artifacts is damaged, or there is no room for what is in it.
        TaskError: the task, in task.zip or task.py among the artifacts, cannot be loaded.
    """

    def __init__(
        self,
        configuration: TrainerConfiguration,
        say: Callable[[Progress], None],
        loaded: Callable[[int], None],
        entered: Callable[[str], None],
    ) -> None:
        self._configuration = configuration
        self._say = say
        self._entered = entered
        self._round = 0
        self._phase: Phase = "training"
        self._round_directory = Path(configuration.work) / "round"
        self._transfer = Transfer(s3_client.make, configuration.bucket, self._round_directory, self._on_failure)
        if configuration.threads:
            torch.set_num_threads(configuration.threads)
        artifacts = Path(configuration.artifacts)
        packed = artifacts / "task.zip"
        if packed.exists():
            self._task = load_task(unpack(packed, Path(configuration.work) / "task"), entered, packed)
        else:
            self._task = load_task(artifacts, entered)
        self._checkpoints: Checkpoints | None = None
        self._client = Client(thing=configuration.thing, federation=configuration.federation)
        self._data = LocalData(
            self._task,
            Path(configuration.dataset),
            self._client,
            configuration.held_out,
            loaded,
        )
        self._bucket = TokenBucket(PROGRESS_BURST, PROGRESS_PER_S)
        listen_to_progress(self._on_progress)

    def run(self, assignment: Assignment, accepted_at: float, cloud_offset_s: float | None) -> Progress:
        """Trains and uploads, or goes on where an earlier process was cut off; the answer is in phase done or declined.
        `cloud_offset_s` is as in `exchange.Train`.

        Raises:
            TaskError, InvalidModelError, SchemaMismatchError, InvalidTensorsError, UnsupportedModelError,
            DivergedError: the round cannot succeed on this device; the text says why.
            NotReadyError: the task says that the device may not train now.
            StoppedError: the process is to end; what has been done so far is on the disk.
            CancelledError: the round was called off.
        """
        self._round = assignment.round
        if cloud_offset_s is not None:
            self._transfer.clock.set(cloud_offset_s)
        self._enter("training")
        files = RoundFiles(self._round_directory, self._belonging(assignment))
        try:
            progress = self._run(assignment, accepted_at, files)
        except DataError as error:
            log.warning("declined", extra={"reason": error})
            progress = Progress(round=assignment.round, phase="declined", reason=shorten(str(error)))
        except (StoppedError, NotReadyError):
            raise
        except BaseException:
            files.clear()  # it is not wanted any more, or to try again would end the same
            raise
        files.clear()
        return progress

    def _run(self, assignment: Assignment, accepted_at: float, files: RoundFiles) -> Progress:
        update = files.load_update()
        if update is None:
            if not self._task.ready(device.read(Path(self._configuration.work))):
                raise NotReadyError
            try:
                update = self._make_update(assignment, accepted_at, files)
            except TaskError as error:
                change = self._data.change()
                if change is None:
                    raise
                raise DataError(f"{error}; {change}") from error  # it may have stumbled over files that are gone
        self._entered("the upload")
        self._advance("uploading")
        self._transfer.upload(update.state.key, update.body)
        if assignment.evaluate is None:  # an evaluation has less in it: who asks what leaves the device means updates
            self._note(update)
        if update.residual:
            residual = np.frombuffer(update.residual, np.float32)
            self._residuals(assignment, update.state.schema, len(residual)).keep(assignment.round, residual)
        return Progress(round=assignment.round, phase="done")

    def stop(self) -> bool:
        """Has training save a checkpoint after its next step, and raise `StoppedError`; False if there is no training
        that could."""
        return self._checkpoints is not None and self._checkpoints.stop()

    def _make_update(self, assignment: Assignment, accepted_at: float, files: RoundFiles) -> Update:
        task = self._task
        data = self._data.get(lambda: task.build_model(assignment.training.seed))
        checkpoints = Checkpoints(
            files,
            data.examples,
            steps=self._configuration.checkpoint_steps,
            interval_s=self._configuration.checkpoint_s,
        )
        self._entered("the download of the model")
        file = self._transfer.download(assignment.model)
        downloaded_at = time.time()
        model = GlobalModel(file)
        local = LocalUpdate(task, self._client, data, assignment, model, fresh_networks(task))
        if assignment.evaluate is not None:
            return self._evaluate(assignment, accepted_at, model, local, files)
        found = checkpoints.find()
        if found is not None:
            before, downloaded_at = found.before, found.downloaded_at
        else:
            before = local.evaluate_global()
        network = local.network()

        self._advance("training")
        checkpoints.begin(before, downloaded_at)
        with self._checkpointing(checkpoints):
            metrics = local.train(network)
        trained_at = time.time()
        trained = local.measure(network, metrics)
        timings = Timings(
            accepted_at=accepted_at,
            downloaded_at=downloaded_at,
            trained_at=trained_at,
            uploading_at=time.time(),
            train_s=checkpoints.train_s,
        )
        update = self._encode(assignment, model, local, trained, local.report(before, trained, timings))
        files.save_update(update)
        if checkpoints.stopping:
            raise StoppedError
        return update

    def _evaluate(
        self,
        assignment: Assignment,
        accepted_at: float,
        model: GlobalModel,
        local: LocalUpdate,
        files: RoundFiles,
    ) -> Update:
        average = None
        if assignment.average is not None:
            average = GlobalModel(self._transfer.download(assignment.average, "average"))
        downloaded_at = time.time()
        evaluated = local.evaluate(average)
        evaluated_at = time.time()
        timings = Timings(
            accepted_at=accepted_at,
            downloaded_at=downloaded_at,
            trained_at=evaluated_at,
            uploading_at=evaluated_at,
            train_s=0.0,
        )
        body = local.evaluation(evaluated, timings)
        update = Update(self._state_of(assignment, model, body), body, b"")
        files.save_update(update)
        return update

    def _encode(
        self, assignment: Assignment, model: GlobalModel, local: LocalUpdate, trained: Trained, report: Report
    ) -> Update:
        schema = tensors.schema_id(model.header.schema)
        residual = None
        if traits_of(assignment.encoding).is_lossy:
            residual = self._residuals(assignment, schema, local.layout.n_parameters).before(assignment.round)
        body, residual = local.encode(trained, report, residual)
        state = self._state_of(assignment, model, body)
        return Update(state, body, b"" if residual is None else residual.tobytes())

    def _state_of(self, assignment: Assignment, model: GlobalModel, body: bytes) -> UpdateState:
        mine = self._configuration
        return UpdateState(
            bucket=mine.bucket,
            key=names.update_key(mine.federation, assignment.round, mine.thing, assignment.life),
            schema=tensors.schema_id(model.header.schema),
            update_bytes=len(body),
        )

    def _note(self, update: Update) -> None:
        """Keeps what was sent, for those who ask what leaves the device."""
        upload = describe(update.state.bucket, update.state.key, update.body)
        try:
            durable.replace(Path(self._configuration.work) / SENT, msgspec.json.encode(upload))
        except OSError as error:
            log.warning("cannot note what was sent", extra={"error": error})

    def _residuals(self, assignment: Assignment, schema: str, n_parameters: int) -> Residuals:
        mine = self._configuration
        owner = Owner(federation=mine.federation, life=assignment.life, thing=mine.thing, schema=schema)
        return Residuals(Path(mine.work) / "residuals", owner, n_parameters)

    @contextlib.contextmanager
    def _checkpointing(self, checkpoints: Checkpoints) -> Iterator[None]:
        self._checkpoints = checkpoints
        use_checkpoints(checkpoints)
        try:
            yield
        finally:
            checkpoints.end()
            use_checkpoints(None)
            self._checkpoints = None

    def _belonging(self, assignment: Assignment) -> Belonging:
        return Belonging(
            federation=self._configuration.federation,
            thing=self._configuration.thing,
            life=assignment.life,
            round=assignment.round,
            model=assignment.model.sha256,
            task=self._task.sha256,
            training=assignment.training,
            encoding=assignment.encoding,
            component=__version__,
        )

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        logs.place(self._round, phase)

    def _advance(self, phase: Phase) -> None:
        self._enter(phase)
        self._say(Progress(round=self._round, phase=phase))

    def _on_progress(self, epoch: object, epochs: object, step: object) -> None:
        counts = (
            returned_values.count(epoch, "epoch"),
            returned_values.count(epochs, "epochs"),
            returned_values.count(step, "step"),
        )
        if self._bucket.take():
            self._say(Progress(round=self._round, phase=self._phase, epoch=counts[0], epochs=counts[1], step=counts[2]))

    def _on_failure(self, reason: str) -> None:
        self._say(Progress(round=self._round, phase=self._phase, reason=shorten(reason)))
