"""What is wrong with a task, told with the line of it and a remedy."""

from collections.abc import Callable, Iterable
from pathlib import Path

from cli.checking import data_checks
from cli.checking.data_checks import Complaint
from cli.checking.findings import Finding, Severity, at
from cli.checking.layers import Explanation
from cli.checking.opened_files import Opened
from cli.checking.remedies import Context, listing, remedy_of
from cli.checking.source import Source
from components.client.trainer.model.chosen_tensors import NoSuchTensorError
from components.client.trainer.model.state_dict import DivergedError
from components.client.trainer.task.error_places import Place, place_of
from components.client.trainer.task.loading import TaskError, WrongResultError
from components.client.trainer.task.returned_values import ValueRefusedError
from fedgrass.task import Client, Data, DeviceState, Training

_FIELDS = {kind.__name__: kind.__struct_fields__ for kind in (Training, Client, Data, DeviceState)}
_DIVERGED = "lower training.learning_rate, scale the inputs to about -1 to 1, and look for a log or a division of 0"
_NUMBERS = "return a dict of plain numbers: the mean of a tensor of several, by .mean().item()"
_SEE = "docs/tasks.md says what the function is given, and what it has to return"
_LOSS = "loss is given the model and a batch as the dataset gives it, as in: inputs, labels = batch; model(inputs)"


class Teller:
    """Makes findings of what goes wrong in the task's folder, and has each `told` once. `directory` is the data that is
    being looked at."""

    def __init__(self, root: Path, told: Callable[[Finding], None]) -> None:
        self._root = root
        self._told = told
        self._seen: set[Finding] = set()
        self._source: Source | None = None
        self.directory: Path | None = None

    def tell(self, finding: Finding) -> None:
        """This, unless it has been told."""
        if finding not in self._seen:
            self._seen.add(finding)
            self._told(finding)

    def in_function(self, function: str, text: str, remedy: str, severity: Severity = "error") -> None:
        """What a function of task.py gives that it should not; what a default gives is of task.py as a whole."""
        path = self._root / "task.py"
        if self._source is None:
            self._source = Source(path)
        self.tell(at(path, self._source.return_of(function), text, remedy, severity=severity))

    def at(self, place: Place | None, function: str, text: str, remedy: str) -> None:
        """As a warning, what happens at a place; in a function, if that is not known."""
        if place is None:
            self.in_function(function, text, remedy, "warning")
        else:
            self.tell(at(self._root / place.file, place.line, text, remedy, severity="warning"))

    def complaint(self, function: str, complaint: Complaint) -> None:
        """What is wrong with what a function gives."""
        self.in_function(function, complaint.text, complaint.remedy, complaint.severity)

    def error(
        self,
        error: BaseException,
        function: str,
        explanation: Explanation | None = None,
        severity: Severity = "error",
    ) -> None:
        """An exception of the task's, or of what it is used by; with what a layer of the model has to do with it."""
        cause = error.__cause__ if isinstance(error, TaskError) else error
        if isinstance(error, TaskError):
            function = error.function or function
        place = None if cause is None else place_of(cause, self._root)
        text = str(error) if isinstance(error, TaskError | DivergedError) else f"{type(error).__name__}: {error}"
        if explanation is not None:
            text = f"{explanation.text}: {text}"
        text, remedy = (text, explanation.remedy) if explanation else self._parted(text, error, cause, function)
        if place is None:
            self.in_function("build_model" if explanation else function, text, remedy, severity)
        else:
            text = text.replace(f" ({place})", "")
            self.tell(at(self._root / place.file, place.line, text, remedy, severity=severity))

    def _parted(self, text: str, error: BaseException, cause: BaseException | None, function: str) -> tuple[str, str]:
        """What is wrong, and what to do; where we say both ourselves, a text is parted."""
        if isinstance(error, TaskError) and not isinstance(error, WrongResultError):
            for mark in ("; ", ": it has"):
                if (cause is None or isinstance(cause, NoSuchTensorError)) and mark in text:
                    what, _, _ = text.rpartition(mark)
                    return what, text.removeprefix(what).lstrip(";: ")
        return text, self._remedy(error, cause, function)

    def _remedy(self, error: BaseException, cause: BaseException | None, function: str) -> str:
        if isinstance(error, DivergedError):
            return _DIVERGED
        if isinstance(error, WrongResultError):
            return data_checks.wrong_result(function, error.result)
        if cause is None:
            return _SEE
        if isinstance(cause, ValueRefusedError):
            return "return True or False" if function == "ready" else _NUMBERS
        if "no training examples" in str(cause) and self.directory is not None:
            return f"look at how load_data finds its files: {listing(self.directory)}"
        directory = self.directory if function == "load_data" else None
        return remedy_of(cause, Context(directory, _FIELDS)) or (_LOSS if function == "loss" else _SEE)

    def opened(self, files: Iterable[Opened], packed: frozenset[str], remedy: str) -> None:
        """Files that the task has read, and that no device has."""
        for opened in files:
            if opened.path.is_relative_to(self._root):
                name = opened.path.relative_to(self._root).as_posix()
                if name in packed:
                    continue
                where = f"{name}, which does not go to devices"
            else:
                where = f"{opened.path}, which no device has"
            self.tell(at(self._root / opened.file, opened.line, f"this reads {where}", remedy, severity="warning"))
