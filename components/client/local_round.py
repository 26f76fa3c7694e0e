"""One client's part in a round: download, evaluate, train, evaluate, upload."""

import hashlib
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from torch import nn

from components.client import state_dict, training
from components.client.exchange import Workplace
from components.client.loading import Task, TaskError, finite, load_task
from components.client.residual import Residuals
from components.client.task import Client, Data, listen_to_progress, read_device_state
from components.client.transfer import Transfer
from protocol import names, tensors
from protocol.encodings import LOSSY, update_layout
from protocol.messages import Assignment, Phase, Progress, Report, Timings

log = logging.getLogger(__name__)


class LocalTrainer:
    """Does local rounds for one device. What is loaded in the first round is kept for the next ones.

    `say` is called with the progress, `loaded` with the number of examples.

    Raises:
        TaskError: the task, task.zip or task.py among the artifacts, cannot be loaded.
    """

    def __init__(
        self,
        workplace: Workplace,
        transfer: Callable[[Callable[[str], None]], Transfer],
        say: Callable[[Progress], None],
        loaded: Callable[[int], None],
    ) -> None:
        self._workplace = workplace
        self._say = say
        self._loaded = loaded
        self._round = 0
        self._phase: Phase = "training"
        self._transfer = transfer(self._on_failure)
        if workplace.threads:
            torch.set_num_threads(workplace.threads)
        artifacts = Path(workplace.artifacts)
        packed = artifacts / "task.zip"
        self._task = load_task(packed if packed.exists() else artifacts)
        self._model: nn.Module | None = None
        self._data: Data | None = None
        listen_to_progress(self._on_progress)

    def run(self, assignment: Assignment, accepted_at: float) -> Progress:
        """Trains and uploads; the answer is in phase done or declined.

        Raises:
            TaskError, InvalidModelError, SchemaMismatchError, InvalidTensorsError, UnsupportedModelError,
            DivergedError: the round cannot succeed on this device; the text says why.
        """
        self._round = assignment.round
        self._phase = "training"
        task = self._task
        if not task.ready(read_device_state()):
            return Progress(round=assignment.round, phase="declined", reason="not ready, says the task")
        model, data = self._load_model(task), self._load_data(task)
        file = self._transfer.download(assignment.model)
        downloaded_at = time.time()
        header = tensors.parse_header(file, len(file))
        base = state_dict.views(header, file)
        state_dict.load(model, header, base)
        before = task.evaluate(model, data) if data.has_test else {}

        self._advance("training")
        seed = local_seed(assignment.training.seed, assignment.round, self._workplace.thing)
        settings = msgspec.structs.replace(assignment.training, seed=seed)
        torch.manual_seed(seed)
        started = time.perf_counter()
        trained = task.train(model, data, settings)
        train_s = time.perf_counter() - started
        trained_at = time.time()
        after = task.evaluate(model, data) if data.has_test else {}

        self._advance("uploading")
        steps = trained.pop("steps", math.nan)
        report = Report(
            federation=self._workplace.federation,
            round=assignment.round,
            thing=self._workplace.thing,
            base=assignment.model.sha256,
            encoding=assignment.encoding,
            examples=data.examples,
            steps=int(steps) if steps >= 1 else training.count_steps(settings, data.examples),
            before=finite(before),
            after=finite({f"train_{name}": value for name, value in trained.items()} | after),
            describe=finite(task.describe(model, data)),
            timings=Timings(
                accepted_at=accepted_at,
                downloaded_at=downloaded_at,
                trained_at=trained_at,
                uploading_at=time.time(),
                train_s=train_s,
            ),
        )
        layout = update_layout(header, assignment.encoding)
        residuals = Residuals(
            Path(self._workplace.work) / "residuals",
            self._workplace.federation,
            tensors.schema_id(header.schema),
            layout.n_float,
        )
        before_it = residuals.before(assignment.round) if assignment.encoding in LOSSY else None
        update, residual = state_dict.dump_update(model, base, layout, report, before_it)
        self._transfer.upload(
            names.update_key(self._workplace.federation, assignment.round, self._workplace.thing), update
        )
        if residual is not None:
            residuals.keep(assignment.round, residual)
        return Progress(round=assignment.round, phase="done")

    def _load_model(self, task: Task) -> nn.Module:
        if self._model is None:
            self._model = task.build_model()
        return self._model

    def _load_data(self, task: Task) -> Data:
        if self._data is None:
            directory = Path(self._workplace.dataset)
            if not directory.is_dir():
                raise TaskError(f"dataset {directory} is not a directory: set `dataset` in the configuration")
            self._data = task.load_data(
                directory, Client(thing=self._workplace.thing, federation=self._workplace.federation)
            )
            self._loaded(self._data.examples)
        return self._data

    def _advance(self, phase: Phase) -> None:
        self._phase = phase
        self._say(Progress(round=self._round, phase=phase))

    def _on_progress(self, epoch: int | None, epochs: int | None, step: int | None) -> None:
        self._say(Progress(round=self._round, phase=self._phase, epoch=epoch, epochs=epochs, step=step))

    def _on_failure(self, reason: str) -> None:
        self._say(Progress(round=self._round, phase=self._phase, reason=reason))


def local_seed(seed: int, round_number: int, thing: str) -> int:
    """The seed of one client's training in one round: the same again for the same three, different otherwise."""
    digest = hashlib.sha256(f"{seed} {round_number} {thing}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
