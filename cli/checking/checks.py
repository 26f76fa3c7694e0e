"""The check of a federation's folder: one list of findings, whoever asks for it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from cli.checking.findings import Facts, Finding, Request, at, lines_of
from cli.checking.folders import a_notebook, is_notebook, no_folder, of_folder
from cli.checking.process import TrialProcess
from cli.checking.round_time import RoundTime, round_time
from cli.checking.source import Source, unavailable
from cli.client_data import ClientDataError
from cli.datasets.dataset import DatasetError
from cli.errors.kind import ResultError
from cli.project import Project, ProjectError, read
from cli.settings.presets import given
from cloud.settings import Federation, LocalTraining
from components import task_folder, task_requirements
from components.task_folder import TaskFolder, TaskFolderError
from components.task_requirements import TaskRequirementsError

_FLOOD_BYTES = 100_000

UNREAD = Federation(name="check", training=LocalTraining(batch_size=32, learning_rate=0.01, steps=1))
"""What a task is tried out with, if federation.yaml can't be read."""


class Packed(msgspec.Struct, frozen=True):
    """A file that goes to devices."""

    name: str
    size_bytes: int


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check has found. `not_checked` says what could not be looked at, and why; `packed` is what of the task
    goes to devices, and `left_out` what does not; `printed` is what the task has printed, the middle left out if it is
    much. `seconds` are by step. `preset` is what the settings have in the fields that theirs knows. `model` is model 0,
    empty if there is none."""

    findings: tuple[Finding, ...]
    not_checked: tuple[str, ...]
    facts: Facts
    round_time: RoundTime | None
    packed: tuple[Packed, ...]
    left_out: dict[str, str]
    printed: str
    seconds: dict[str, float]
    preset: dict[str, object]
    model: bytes

    def told(self) -> dict[str, object]:
        """All but the model, as values for a program."""
        values = {name: getattr(self, name) for name in self.__struct_fields__ if name != "model"}
        total_s = None if self.round_time is None else self.round_time.total_s
        return values | {"round_s": total_s, "model_bytes": len(self.model)}

    def lines(self) -> Iterator[str]:
        """The findings, for people."""
        for finding in self.findings:
            yield from lines_of(finding)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Those for which nothing should be started."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


Found: TypeAlias = Callable[[Finding], None]
Tell: TypeAlias = Callable[[str], None]
Clients: TypeAlias = Callable[[Path], Mapping[str, Path]]
ClientsOf: TypeAlias = Callable[[Project | None, Path], Mapping[str, Path]]


class CheckFailedError(ResultError):
    """A check has found errors; `checked` has them, and so has the text, or their number."""

    def __init__(self, checked: Checked, text: str | None = None) -> None:
        found = "\n".join(line for finding in checked.errors for line in lines_of(finding))
        super().__init__(text or found, checked.told())
        self.checked = checked


class Trial(Protocol):
    """What tries a request out."""

    directory: Path
    facts: Facts
    seconds: dict[str, float]

    @property
    def printed(self) -> str: ...

    @property
    def printed_bytes(self) -> int: ...

    def run(self, request: Request, tell: Tell, /) -> Iterator[Finding]: ...


def check_project(
    path: Path,
    clients: ClientsOf,
    found: Found = lambda _: None,
    tell: Tell = lambda _: None,
    limit_s: float | None = None,
) -> Checked:
    """Check a federation's folder, or its federation.yaml, whatever is wrong with it. `clients` gives the folders of
    data to try it out on, by client, and may make them in a folder that it is given. `found` is called with each
    finding as it is made, `tell` with what is being done; `limit_s` replaces how long each step may take."""
    with TrialProcess(needs_torch=True, limit_s=limit_s) as process:
        return check_by(process, path, clients, found, tell)


def check_by(trial: Trial, path: Path, clients: ClientsOf, found: Found, tell: Tell) -> Checked:
    """As `check_project`, with what tries it out."""
    check = _Check(trial, found, tell)
    tell("federation.yaml")
    try:
        project = read(path)
    except ProjectError as error:
        for fault in error.faults:
            check.found(at(fault.path, fault.line, fault.text))
        directory = path if path.is_dir() else path.parent
        if not (directory / "task.py").exists():
            return check.result()
        check.not_checked.append("the settings: the task was tried out without them")
        return check.run(directory, UNREAD, directory.resolve(), lambda scratch: clients(None, scratch), is_read=False)
    if not project.task.is_dir():
        check.found(no_folder(project))
        return check.result()
    return check.run(project.directory, project.settings, project.task, lambda scratch: clients(project, scratch))


def check_loaded(project: Project, clients: Clients = lambda _: {}, tell: Tell = lambda _: None) -> Checked:
    """As `check_project`, of a project whose settings are in order: what a command does before it goes on with it. The
    model to start with is in what it gives.

    Raises:
        CheckFailedError: there are errors; the text has all of them.
    """
    with TrialProcess(needs_torch=True) as process:
        return check_loaded_by(process, project, clients, tell)


def check_loaded_by(trial: Trial, project: Project, clients: Clients, tell: Tell = lambda _: None) -> Checked:
    """As `check_loaded`, with what tries it out.

    Raises:
        CheckFailedError: as there.
    """
    checked = _Check(trial, lambda _: None, tell).run(project.directory, project.settings, project.task, clients)
    if checked.errors:
        raise CheckFailedError(checked)
    return checked


def check_policies(project: Project) -> None:
    """Try the policies.py of a project out, alone.

    Raises:
        CheckFailedError: there are errors; the text has all of them.
    """
    if not project.settings.custom_functions:
        return
    with TrialProcess(needs_torch=False) as process:
        check = _Check(process, lambda _: None, lambda _: None)
        checked = check.run(project.directory, project.settings, None, lambda _: {})
    if checked.errors:
        raise CheckFailedError(checked)


class _Check:
    def __init__(self, trial: Trial, found: Found, tell: Tell) -> None:
        self._trial = trial
        self._tell = tell
        self._found = found
        self._findings: list[Finding] = []
        self._folder = TaskFolder({}, {}, {})
        self._settings = UNREAD
        self.not_checked: list[str] = []

    def found(self, finding: Finding) -> None:
        """A finding, unless there is an error at this line already."""
        place = finding.file, finding.line
        told = {(each.file, each.line) for each in self._findings if each.severity == "error" and each.line is not None}
        if place not in told:
            self._findings.append(finding)
            self._found(finding)

    def run(
        self, directory: Path, settings: Federation, task: Path | None, clients: Clients, *, is_read: bool = True
    ) -> Checked:
        """Look at a task, or at policies.py alone if there is none. `is_read` says whether the settings are those of
        federation.yaml, which tell where the data is."""
        self._settings = settings
        self._tell("the files of the task")
        is_sound = task is not None and self._is_sound(task)
        folders = self._folders(clients)
        if not folders and task is not None:
            why = "there is no data; name some with --data"
            if folders is None:
                why = "the error in the data comes first"
            elif not is_read:
                why = "the errors in federation.yaml come first; or name the data with --data"
            self.not_checked.append(f"load_data, training and evaluation: {why}")
        if is_sound or settings.custom_functions:
            request = Request(
                task=task if is_sound else None,
                packed=tuple(self._folder.packed),
                directory=directory.resolve(),
                settings=settings,
                clients={thing: folder.resolve() for thing, folder in (folders or {}).items()},
                model=self._trial.directory / "model.safetensors",
            )
            for finding in self._trial.run(request, self._tell):
                self.found(finding)
        return self.result()

    def _folders(self, clients: Clients) -> Mapping[str, Path] | None:
        """The folders of data; None if something is wrong with them, which is told."""
        try:
            return clients(self._trial.directory / "data")
        except (ClientDataError, DatasetError) as error:
            self.found(Finding(text=str(error)))
            return None

    def _is_sound(self, task: Path) -> bool:
        """Whether task.py can be tried out; what is wrong with the files is told."""
        try:
            self._folder = task_folder.inspect_folder(task)
        except TaskFolderError as error:
            for finding in of_folder(task, error):
                self.found(finding)
            return False
        if is_notebook(task / "task.py"):  # which may well be Python
            self.found(a_notebook(task / "task.py"))
            return False
        for warning in self._folder.warnings():
            self.found(
                Finding(severity="warning", text=warning.text, remedy=warning.remedy, file=str(task / warning.name))
            )
        findings = [*Source(task / "task.py").findings()]
        for finding in [*findings, *self._of_packages(task)]:
            self.found(finding)
        return not any(finding.severity == "error" for finding in findings)

    def _of_packages(self, task: Path) -> Iterator[Finding]:
        """What is wrong with the packages that the task imports, or lists."""
        try:
            required = task_requirements.read(task)
        except TaskRequirementsError as error:
            yield from (at(error.path, line, text) for line, text in error.problems)
            return
        imported = [name for name in self._folder.packed if name.endswith(".py") and name in self._folder.imported]
        yield from unavailable(task, imported, required)

    def result(self) -> Checked:
        """What has been found by now."""
        facts, model = self._trial.facts, self._trial.directory / "model.safetensors"
        printed = self._trial.printed_bytes
        if printed > _FLOOD_BYTES:
            text = f"the task has printed {printed:,} bytes: on a device all of it goes to the component's log"
            self.found(Finding(severity="warning", text=text, remedy="print less, once an epoch at most"))
        if facts.clients_loaded is not None and facts.clients is not None and facts.clients_loaded < facts.clients:
            rest = facts.clients - facts.clients_loaded
            is_wrong = any(finding.severity == "error" for finding in self._findings)
            why = "the error comes first" if is_wrong else "there was no time for more"
            self.not_checked.append(f"the data of {rest} of {facts.clients} clients: {why}")
        files = self._folder.packed | self._folder.data
        return Checked(
            findings=tuple(self._findings),
            not_checked=tuple(self.not_checked),
            facts=facts,
            round_time=round_time(facts, self._settings.training),
            packed=tuple(Packed(name, file.stat().st_size) for name, file in files.items()),
            left_out=self._folder.left_out,
            printed=self._trial.printed,
            seconds=self._trial.seconds,
            preset=given(self._settings),
            model=model.read_bytes() if model.exists() else b"",
        )
