"""`fedgrass experiment`: from a file to its results."""

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cli.checking.checks import check_loaded
from cli.client_data import ClientData
from cli.errors.kind import ResultError
from cli.experiments import result_files
from cli.experiments.curves import plots_of
from cli.experiments.experiment_file import Experiment, read, refused
from cli.experiments.metrics import NOTHING_KNOWN, Known, unknown
from cli.experiments.progress import Progress
from cli.experiments.results import Results, RunRounds, known_in, results_of, rounds_of
from cli.experiments.round_times import round_times_of
from cli.experiments.running import OUTPUT, run_all
from cli.experiments.runs import ClientFolders, PlannedRun, check_with_data, runs_of
from cli.experiments.standing import RunState, locked, states_of
from cli.experiments.worker_messages import RunRequest
from cli.plurals import counted
from cli.screen import Screen
from reporting.records import RoundLine
from sandbox.scratch import Scratch
from simulation.run import OF_AVERAGE


class RunsFailedError(ResultError):
    """Some runs made no model, or could not go on; the text says which."""


class ListedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as `--dry-run` lists it."""

    name: str
    run: str
    state: RunState


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What would be run, and about how long that would take."""

    runs: tuple[ListedRun, ...]
    to_do: int
    jobs: int
    guess_s: float


def rehearse(file: Path, data: Path | None, jobs: int | None) -> Rehearsal:
    """What `experiment` would do. Imports torch, to see how long an update takes.

    Raises:
        As `experiment`.
    """
    experiment = read(file, data)
    planned = runs_of(experiment)
    states = states_of(planned)
    to_do = [run for run in planned if states[run.out] != "done"]
    jobs = jobs or _cores()
    guess_s = 0.0
    if to_do:
        with Scratch() as scratch:
            folders = ClientFolders(scratch.path)
            clients = check_with_data(experiment, to_do, folders)
            _try_out(to_do[0], folders)

            from cli.experiments.guessing import guess

            guess_s, metrics = guess(to_do, folders.of(to_do[0]), clients, jobs)
            if any(run.project.settings.averaging.ema for run in planned):
                metrics |= {f"{OF_AVERAGE}{name}" for name in metrics}
            _check(experiment, Known(metrics, frozenset()))
    listed = [ListedRun(name=run.name, run=str(run.out), state=states[run.out]) for run in planned]
    return Rehearsal(runs=tuple(listed), to_do=len(to_do), jobs=jobs, guess_s=guess_s)


def experiment(file: Path, data: Path | None, jobs: int | None, screen: Screen) -> Results:
    """Runs what is not done yet, and writes what all runs come to. `data` takes the place of the file's own.

    Raises:
        ExperimentFileError: something is wrong with it, or with a combination.
        CheckFailedError: something is wrong with the task, or with the first client's data.
        OtherRunsError, CorruptRunFolderError, RunFolderInUseError: the folder of results has something else.
        RunsFailedError: see there; all others are done, and the results are written.
        KeyboardInterrupt: runs are left; the text says how to go on.
    """
    found = read(file, data)
    planned = runs_of(found)
    with locked(found.out):
        states = states_of(planned)
        to_do = [run for run in planned if states[run.out] != "done"]
        done = len(planned) - len(to_do)
        failures = _run(found, to_do, states, done, jobs or _cores(), screen) if to_do else {}
        runs = [rounds_of(run, failures.get(run.out)) for run in planned]
        results = _results(found, runs)
        _write(found, results, runs, screen)
    if results.failed:
        raise RunsFailedError(_told(results), results)
    return results


def _run(
    found: Experiment,
    to_do: Sequence[PlannedRun],
    states: dict[Path, RunState],
    done: int,
    jobs: int,
    screen: Screen,
) -> dict[Path, str]:
    with Scratch() as scratch:
        folders = ClientFolders(scratch.path)
        clients = check_with_data(found, to_do, folders)
        _try_out(to_do[0], folders)
        screen.line(f"{counted(len(states), 'run')}, {done} of them done before")

        def request_of(run: PlannedRun) -> RunRequest:
            return _request(run, folders.of(run), resume=states[run.out] == "begun")

        try:
            with Progress(screen, to_do, done, clients, found.metrics, _known_metrics(found)) as progress:
                return run_all(to_do, request_of, jobs, found.out, progress)
        except KeyboardInterrupt:
            now = sum(state == "done" for state in states_of([*to_do]).values())
            told = f"interrupted: {done + now} of {counted(len(states), 'run')} are done; the same command goes on"
            raise KeyboardInterrupt(told) from None


def _try_out(run: PlannedRun, folders: ClientFolders) -> None:
    """Check a run's project with the data of its first client."""
    first = dict(itertools.islice(folders.of(run).folders.items(), 1))
    check_loaded(run.project, lambda _: first)


def _known_metrics(found: Experiment) -> Callable[[RoundLine], None]:
    """Sees with the first rounds whether there are such metrics, not with the last run."""
    known = NOTHING_KNOWN

    def look(line: RoundLine) -> None:
        nonlocal known
        before, known = known, known.including(line)
        if known != before:
            _check(found, known)

    return look


def _check(found: Experiment, known: Known) -> None:
    if problems := unknown(found.metrics, known):
        raise refused(map(found.located, problems))


def _request(run: PlannedRun, data: ClientData, *, resume: bool) -> RunRequest:
    options = run.options
    return RunRequest(
        project=str(run.project.path.absolute()),
        settings=run.project.settings,
        folders={thing: str(folder) for thing, folder in data.folders.items()},
        holdout=str(data.holdout) if data.holdout else None,
        seed=options.seed,
        devices=str(options.devices.absolute()) if options.devices else None,
        backend=options.backend,
        evaluate_every=options.evaluate_every,
        out=str(run.out.absolute()),
        resume=resume,
        identity=run.identity,
    )


def _results(found: Experiment, runs: Sequence[RunRounds]) -> Results:
    _check(found, known_in(runs))
    settings: dict[str, dict[str, Any]] = {
        combination.name: {setting.key: setting.value for setting in combination.settings}
        for combination in found.combinations
    }
    return results_of(found.out, found.seeds, found.metrics, settings, runs)


def _write(found: Experiment, results: Results, runs: Sequence[RunRounds], screen: Screen) -> None:
    result_files.write(results, found.out)
    screen.table(result_files.table(results))
    screen.line(f"mean (smallest to largest) of {counted(len(results.seeds), 'seed')}; * is the best")
    plots = plots_of(found.metrics, results, runs)
    if plots:
        from cli.experiments.drawing import draw, draw_round_times

        for plot in plots:
            files = draw(plot, found.out)
            screen.line(", ".join(path.name for path in files) + _without(plot.left_out))
        drawn = [curve.combination for curve in plots[0].curves]
        if times := round_times_of(drawn, runs):
            screen.line(draw_round_times(times, found.out).name + _without(plots[0].left_out))
    screen.line(f"all results: {found.out}")


def _without(left_out: int) -> str:
    return f": the best combinations, without {left_out} others" if left_out else ""


def _told(results: Results) -> str:
    failed = results.failed
    all_runs = sum(len(combination.runs) for combination in results.combinations)
    first, run = failed[0]
    return (
        f"{len(failed)} of {counted(all_runs, 'run')} failed, first {first.name}, seed {run.seed}: {run.reason}; "
        f"what tasks printed is in {OUTPUT}"
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0))
