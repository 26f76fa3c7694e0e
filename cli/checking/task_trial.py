"""A task, tried out step by step, as a device would use it: what each step shows is told at once."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cli.checking import data_checks
from cli.checking.findings import Event, Facts, Finding, Found, Learned, Request
from cli.checking.fitting import Fitting
from cli.checking.layers import unregistered
from cli.checking.local_trial import LocalTrial
from cli.checking.opened_files import OpenedFiles
from cli.checking.telling import Teller
from cli.initial_model import InitialModelError, initial_model
from components.client import device
from components.client.trainer.learning.objectives import CALIBRATES_NOTHING
from components.client.trainer.model.travelling_tensors import UnsupportedModelError
from components.client.trainer.task.loading import Task, TaskError, load_task
from fedgrass.task import Client, Data
from protocol import tensors
from protocol.encodings import update_layout

if TYPE_CHECKING:
    from protocol.messages import Report

_SLOW_IMPORT_S = 5.0
_BESIDE = "put it beside task.py, under a name that goes to devices, and open it by Path(__file__).parent / its name"
_IN_DIRECTORY = "a device has its data in the folder that load_data is given: write directory / the file's name"
_TRAVELS = "docs/tasks.md says what of a model can travel"


class TaskTrial:
    """Tries out the task of a request. The results are there for what is looked at later: the initial `model`, and the
    `report` of a client's round; empty and None if it did not come to that."""

    def __init__(self, request: Request, entered: Callable[[str], None], say: Callable[[Event], None]) -> None:
        assert request.task is not None  # noqa: S101
        self._root = request.task
        self._request = request
        self._settings = request.settings
        self._entered = entered
        self._say = say
        self._facts = Facts(clients=len(request.clients))
        self._teller = Teller(self._root, lambda finding: say(Found(finding)))
        self._opened = OpenedFiles(self._root)
        self._packed = frozenset(request.packed)
        self.model = b""
        self.report: Report | None = None

    def run(self) -> None:
        """Look at all that can be looked at: what a step needs and has not got is left out."""
        task = self._load()
        if task is None:
            return
        if self._settings.training.logit_calibration and not task.classifies:
            file = str(self._request.directory / "federation.yaml")
            self._teller.tell(Finding(text=CALIBRATES_NOTHING, remedy="leave it out", file=file))
        builds = self._build(task)
        things = list(self._request.clients)
        data = self._first_data(task, things[0]) if things else None
        if builds and data is not None and self._fits(task, data, things):
            trial = LocalTrial(task, self._settings, self._request.limit_s, self._entered, self._teller)
            self.report = trial.run(things[0], data, self.model)
            self._learn(**trial.facts)
        self._ready(task)

    def _load(self) -> Task | None:
        self._entered("the import of task.py")
        begun = time.process_time()
        with self._opened.noted() as opened:
            try:
                task = load_task(self._root, self._entered)
            except TaskError as error:
                self._teller.error(error, "task.py")
                return None
        self._teller.opened(opened, self._packed, _BESIDE)
        took_s = time.process_time() - begun
        if took_s > _SLOW_IMPORT_S:
            text = f"the import of task.py takes {took_s:.0f} s here, and longer on a device, whenever it trains"
            remedy = "prepare beforehand, and keep in a file, what takes long; import within a function what is large"
            self._teller.tell(Finding(severity="warning", text=text, remedy=remedy, file=str(self._root / "task.py")))
        return task

    def _build(self, task: Task) -> bool:
        """Whether there is a model that can travel."""
        with self._opened.noted() as opened:
            try:
                model = task.build_model(self._settings.training.seed)
            except TaskError as error:
                self._teller.error(error, "build_model")
                return False
        self._teller.opened(opened, self._packed, _BESIDE)
        away = next(
            (name for name, value in model.named_parameters() if value.device.type not in ("cpu", "meta")), None
        )
        if away is not None:
            text = f"build_model() of task.py gives a model on {model.get_parameter(away).device}"
            remedy = "leave it on the CPU: the default training moves it, and many a device has no GPU"
            self._teller.in_function("build_model", text, remedy)
        loose = unregistered(model)
        if loose is not None:
            text = f"the layers in {loose[0]} of the model are none of its own: they are not trained, and do not travel"
            self._teller.in_function("build_model", text, f"put them into an {loose[1]}", "warning")
        self._entered("the model's way into bytes and back")
        try:
            self.model = initial_model(task, self._request.directory, self._settings)
        except TaskError as error:
            self._teller.error(error, "build_model")
            return False
        except InitialModelError as error:
            self._teller.tell(Finding(text=str(error), file=str(self._request.directory / "federation.yaml")))
            return False
        except UnsupportedModelError as error:
            text, _, remedy = str(error).partition("; ")
            self._teller.in_function("build_model", text, remedy or _TRAVELS)
            return False
        self._request.model.write_bytes(self.model)
        header = tensors.parse_header(self.model, len(self.model))
        layout = update_layout(header, self._settings.encoding)
        self._learn(
            parameters=layout.n_parameters,
            tensors=len(header.tensors),
            model_bytes=len(self.model),
            update_bytes=layout.data_bytes,
        )
        return True

    def _first_data(self, task: Task, thing: str) -> Data | None:
        begun = time.monotonic()
        data = self._data_of(task, thing)
        if data is not None:
            test_examples = len(data.test) if data.has_test else 0  # type: ignore[arg-type]
            self._learn(
                clients_loaded=1, examples=data.examples, test_examples=test_examples, load_s=time.monotonic() - begun
            )
        return data

    def _data_of(self, task: Task, thing: str) -> Data | None:
        directory = self._request.clients[thing]
        self._teller.directory = directory
        with self._opened.noted(directory) as opened:
            try:
                data = task.load_data(directory, Client(thing=thing, federation=self._settings.name))
            except TaskError as error:
                self._teller.error(error, "load_data")
                return None
        complaint = data_checks.of_kinds(data)
        if complaint is not None:
            self._teller.complaint("load_data", complaint)
            return None
        self._teller.opened(opened, self._packed, _IN_DIRECTORY)
        return data

    def _fits(self, task: Task, data: Data, things: list[str]) -> bool:
        """Whether the model takes the data of the first client, and that of as many others as there is time for."""
        fitting = Fitting(task, self._settings.training, self._entered, self._teller)
        if not (fitting.looks_right(data) and fitting.validates(data)):
            return False
        begun = time.monotonic()
        for count, thing in enumerate(things[1:], 2):
            if time.monotonic() - begun > self._request.limit_s:
                break
            other = self._data_of(task, thing)
            if other is None or not fitting.looks_right(other):
                return False
            self._learn(clients_loaded=count)
        self._teller.directory = self._request.clients[things[0]]
        return True

    def _ready(self, task: Task) -> None:
        try:
            if not task.ready(device.read(Path.cwd())):
                text = "ready() returned False for this machine: a device in this state would take part in no round"
                self._teller.in_function("ready", text, "look whether that is what you mean", "warning")
        except TaskError as error:
            self._teller.error(error, "ready")

    def _learn(self, **facts: object) -> None:
        self._facts = msgspec.structs.replace(self._facts, **facts)
        self._say(Learned(self._facts))
