"""The runs that an experiment consists of: each combination with each seed, checked before the first of them begins."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from cli.client_data import ClientData, ClientDataError
from cli.datasets.dataset import DatasetError
from cli.datasets.splitting import ImpossibleSplitError, InvalidSplitError
from cli.experiments.combinations import Combination
from cli.experiments.experiment_file import INPUTS, Experiment, Inputs, refused
from cli.project import Project, ProjectError, file_of, load
from cli.project_data import data_of
from cli.settings.contradictions import fleet_contradictions
from cli.settings.given_options import GivenOption, option_of
from cli.settings.problems import Problem
from cli.simulation_inputs import Options, identity_of, run_of
from cloud.custom_policies import InvalidPolicyError
from simulation.devices import DevicesError

_NAMED = 3
"""So many combinations are named that have the same fault."""


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation of an experiment. `given` is what has taken the place of federation.yaml's values, `identity` what
    has to be the same for it to be gone on with."""

    combination: str
    project: Project
    given: tuple[GivenOption, ...]
    options: Options
    identity: dict[str, str]

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.combination}, seed {self.options.seed}"

    @property
    def out(self) -> Path:
        """Its run folder."""
        return self.options.out


def runs_of(experiment: Experiment) -> list[PlannedRun]:
    """All runs, one seed after the other, and those of a seed that have the same data next to each other.

    Raises:
        ExperimentFileError: a combination can't be run; the text tells all faults of all of them.
    """
    faults = _Faults(experiment)
    for problem in _misplaced(experiment):
        faults.add_to_all(experiment.located(problem))
    faults.check()
    planned = [found for combination in experiment.combinations if (found := _planned(experiment, combination, faults))]
    faults.check()
    order = {_Source.of(runs[0]): number for number, runs in reversed(list(enumerate(planned)))}
    planned.sort(key=lambda runs: order[_Source.of(runs[0])])
    return [runs[number] for number in range(len(experiment.seeds)) for runs in planned]


def _planned(experiment: Experiment, combination: Combination, faults: "_Faults") -> list[PlannedRun]:
    """The runs of a combination."""
    problems: list[Problem] = []
    inputs = experiment.inputs_of(combination, problems)
    problems += _missing(experiment, combination, inputs)
    for problem in problems:
        faults.add(experiment.located(problem), combination.name)
    given = tuple(_given(experiment, combination))
    try:
        project = load(experiment.project, given)
    except ProjectError as error:
        for line in str(error).split("\n"):
            faults.add(line, combination.name)
        return []
    if problems:
        return []
    runs = []
    for seed in experiment.seeds:
        training = msgspec.structs.replace(project.settings.training, seed=seed)
        seeded = msgspec.structs.replace(project, settings=msgspec.structs.replace(project.settings, training=training))
        options = Options(
            data=experiment.path(inputs.data),
            clients=inputs.clients,
            split=inputs.split,
            seed=seed,
            devices=experiment.path(inputs.devices),
            backend=experiment.fields.backend,
            evaluate_every=experiment.fields.evaluate_every,
            out=experiment.out / "runs" / combination.name / f"seed-{seed}",
        )
        identity = _identity(seeded, options)
        runs.append(
            PlannedRun(combination=combination.name, project=seeded, given=given, options=options, identity=identity)
        )
    return runs


def _given(experiment: Experiment, combination: Combination) -> Iterator[GivenOption]:
    """What takes the place of values of federation.yaml."""

    def place(path: tuple[str, ...]) -> str:
        line = experiment.yaml.line_of(path)
        return f"{experiment.file}:{line}"

    if experiment.fields.rounds is not None:
        yield GivenOption(place(("rounds",)), ("rounds",), experiment.fields.rounds)
    for setting in combination.settings:
        if setting.key not in INPUTS:
            yield GivenOption(place(setting.place), setting.path, setting.value)


def _misplaced(experiment: Experiment) -> Iterator[Problem]:
    """A project that is not there, and results that can't go where they are to go."""
    project, out = experiment.project, experiment.out
    try:
        file_of(project)
    except ProjectError as error:
        yield Problem(("project",), str(error))
    if out.exists() and not out.is_dir():
        yield Problem(("out",), f"{out} is a file: name a folder for the results")
    elif out.resolve() == (project if project.is_dir() else project.parent).resolve():
        yield Problem(("out",), f"{out} is the project: name a folder for nothing but the results")


def _missing(experiment: Experiment, combination: Combination, inputs: Inputs) -> Iterator[Problem]:
    """Files that are named and not there."""
    places = {setting.key: setting.place for setting in combination.settings}
    for name in ("data", "devices"):
        path = experiment.path(getattr(inputs, name))
        if path is not None and not path.exists():
            yield Problem(places.get(name, (name,)), f"there is no {path}")
    for metric in experiment.metrics:
        if metric.target is not None and metric.target.unit == "seconds" and inputs.devices is None:
            yield Problem(
                ("metrics", metric.text),
                "seconds are those of devices, and none are given: name a file by devices, or use rounds until ...",
            )


def _identity(project: Project, options: Options) -> dict[str, str]:
    """That of a simulation, and beside it what one that has begun does not need, but its results depend on."""
    initial = project.settings.initial_model
    model = "none" if initial is None else hashlib.sha256((project.directory / initial).read_bytes()).hexdigest()[:12]
    return identity_of(project, options) | {
        "backend": options.backend,
        "evaluate_every": str(options.evaluate_every),
        "the initial model": model,
    }


class _Source(NamedTuple):
    """What clients' folders are made from."""

    task: Path
    data: Path | None
    clients: int | None
    split: str | None

    @classmethod
    def of(cls, run: PlannedRun) -> "_Source":
        options = run.options
        return cls(run.project.task, options.data, options.clients, options.split)


class ClientFolders:
    """The clients' folders of runs. What has to be split is split once for each seed, into `scratch`."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._found: dict[tuple[_Source, int], ClientData] = {}

    def of(self, run: PlannedRun) -> ClientData:
        """Those of a run.

        Raises:
            ClientDataError, DatasetError, ImpossibleSplitError, InvalidSplitError: there are none.
        """
        key = (_Source.of(run), run.options.seed)
        if key not in self._found:
            self._found[key] = data_of(run.project, run.options, self._scratch / f"{len(self._found):04d}")
        return self._found[key]


def check_with_data(experiment: Experiment, runs: Sequence[PlannedRun], folders: ClientFolders) -> dict[str, int]:
    """See that the clients that there are can do what the runs ask for, by one run of each combination; returns how
    many clients each combination has.

    Raises:
        ExperimentFileError: they can't; the text tells all faults.
    """
    faults = _Faults(experiment)
    clients: dict[str, int] = {}
    for run in runs:
        if run.combination in clients:
            continue
        try:
            data = folders.of(run)
        except (ClientDataError, DatasetError, ImpossibleSplitError, InvalidSplitError) as error:
            clients[run.combination] = 0
            problem = Problem(_place_of_data(experiment, run.combination), str(error))
            faults.add(experiment.located(problem), run.combination)
            continue
        clients[run.combination] = len(data.folders)
        for line in _faults_with(experiment, run, data):
            faults.add(line, run.combination)
    faults.check()
    return clients


def _place_of_data(experiment: Experiment, name: str) -> tuple[str, ...]:
    """Where it stands what the data of a combination are."""
    (combination,) = (one for one in experiment.combinations if one.name == name)
    places = {setting.key: setting.place for setting in combination.settings}
    return next((places[key] for key in ("split", "clients", "data") if key in places), ("data",))


def _faults_with(experiment: Experiment, run: PlannedRun, data: ClientData) -> Iterator[str]:
    """What a run can't do with its clients."""
    problems = list(fleet_contradictions(run.project.settings, len(data.folders)))
    for problem in problems:
        yield f"{option_of(problem.path, run.given) or run.project.path}: {problem}"
    if not problems:
        try:
            run_of(run.project, run.options, data, run.identity)
        except (DevicesError, InvalidPolicyError) as error:
            yield str(error)
    for metric in experiment.metrics if data.holdout is None else ():
        if metric.is_held_out:
            told = "the data keeps nothing held out: use metrics of the clients, such as clients.accuracy_after"
            yield experiment.located(Problem(("metrics", metric.text), told))


class _Faults:
    """What is wrong, and with which combinations."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._found: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, line: str, combination: str) -> None:
        """A fault of one of them."""
        self._found[line].append(combination)

    def add_to_all(self, line: str) -> None:
        """A fault of the experiment."""
        self._found[line] = [combination.name for combination in self._experiment.combinations]

    def check(self) -> None:
        """Tells all that there are."""
        if self._found:
            raise refused(line + self._where(line, names) for line, names in self._found.items())

    def _where(self, line: str, names: Iterable[str]) -> str:
        """Which combinations have it, unless all do, or the line in the file of the experiment tells."""
        having = list(dict.fromkeys(names))
        if len(having) == len(self._experiment.combinations) or line.startswith(f"{self._experiment.file}:"):
            return ""
        more = f" and {len(having) - _NAMED} more" if len(having) > _NAMED else ""
        return f" (in {'; '.join(having[:_NAMED])}{more})"
