"""A project's federation, run on this machine through every real part, with live progress and a report."""

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import typer

from cli import chaos as chaotic
from cli.chaos import ChaosOptions, NotSurvivedError
from cli.client_data import ClientData
from cli.display import Display
from cli.outcome import Outcome
from cli.project import Project
from cli.project_sandbox import Teller, project_sandbox, settings_for_elsewhere, shell_line
from cli.project_trial import tried_out
from cli.run_failures import verdict
from cli.run_options import RunOptions
from cli.run_report import write_report
from cli.sandbox_end import told_of_end
from cli.screen import LogFormatter, Screen
from operations.control import Operations
from reporting import folder_access
from reporting.round_figures import medians
from reporting.run_writer import RunWriter
from reporting.tracking import check_installed, tracking
from reporting.tracking_process import TrackerName
from reporting.view import View
from sandbox import faults, kept_files
from sandbox.chaos import Chaos
from sandbox.embedded_aws import check_port
from sandbox.federated_run import Recording, agent_memory_mb, process_memory_mb, run_rounds
from sandbox.function_logs import function_figures
from sandbox.scoring import Scorer
from sandbox.scratch import Scratch


class Prepared(NamedTuple):
    """What a run begins with: the clients' data, the model that the federation starts with, and what scores models, if
    there is data that no client has; made in `took_s`."""

    folders: Mapping[str, Path]
    model: bytes
    scorer: Scorer | None
    took_s: float


def run_command(
    project: Project,
    data: Callable[[Path], ClientData],
    options: RunOptions,
    *,
    as_json: bool,
    chaos: ChaosOptions | None = None,
) -> Outcome:
    """What the commands do: run, show, and end with a report; with `chaos`, run again with faults. What is shown goes
    to standard error, if the outcome is to be printed as JSON.

    Raises:
        ImpossibleChaosError: there are too few rounds or devices for all faults.
        NoRoundClosedError, RoundsFailedError, DevicesFailedError, NotSurvivedError: see there.
    """
    if chaos is not None:
        faults.check(project.settings.rounds, chaos.devices)
    show_warnings()
    display = Display(Screen(stderr=as_json))
    try:
        with display, _prepared(project, data, options, display) as prepared:

            def carry_through(options: RunOptions, /, *, chaos: Chaos | None = None) -> Outcome:
                with told_of_end(options.keep, display.screen.line):
                    return _carry_through(project, prepared, options, display=display, chaos=chaos)

            if chaos is None:
                outcome = carry_through(options)
            else:
                outcome = chaotic.compare(carry_through, options, chaos, display)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted: everything that was started is stopped, its files are removed") from None
    if not as_json:
        display.report(outcome)
    if chaos is not None and not chaotic.survived(outcome):
        raise NotSurvivedError("not all of it was survived", outcome)
    if chaos is None and (failed := verdict(outcome.history)):
        kind, why = failed
        raise kind(why, outcome)
    return outcome


def run(project: Project, data: Callable[[Path], ClientData], options: RunOptions, *, display: Display) -> Outcome:
    """Run a federation from its first round to its last. `data` writes what it makes of the clients' folders to a
    path."""
    with _prepared(project, data, options, display) as prepared:
        return _carry_through(project, prepared, options, display=display)


@contextlib.contextmanager
def _prepared(
    project: Project, data: Callable[[Path], ClientData], options: RunOptions, display: Display
) -> Iterator[Prepared]:
    """For the time of a `with` block, in which there may be several runs."""
    begun = time.monotonic()
    _check_folders(options.keep, options.out)
    if options.out is not None:
        check_installed(options.track)
    check_port(options.port)
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(Scratch()).path
        (folders, holdout), model = tried_out(project, data, scratch, _teller(display))
        scorer = None
        if holdout is not None:
            (temporary := scratch / "scoring").mkdir()
            scorer = stack.enter_context(Scorer(project.task, holdout, temporary, project.settings.training.seed))
        yield Prepared(folders, model, scorer, time.monotonic() - begun)


def _check_folders(keep: Path | None, out: Path | None) -> None:
    if keep is not None:
        kept_files.check_usable(keep)
    if out is not None:
        folder_access.check_usable(out)
    if keep is not None and out is not None:
        one, other = keep.resolve(), out.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise typer.BadParameter(f"--keep {keep} and the run folder {out} lie one in the other: name two apart")


def _carry_through(
    project: Project, prepared: Prepared, options: RunOptions, *, display: Display, chaos: Chaos | None = None
) -> Outcome:
    """One run; `chaos` injects faults."""
    begun = time.monotonic()
    scorer = prepared.scorer
    with contextlib.ExitStack() as stack:
        sandbox, fleet = stack.enter_context(
            project_sandbox(
                project,
                prepared.folders,
                prepared.model,
                options.nuclei,
                _teller(display),
                port=options.port,
                call_latency_s=options.call_latency_s,
                fault=chaos.on_request if chaos else None,
                keep=options.keep,
            )
        )
        name, operations = project.settings.name, sandbox.operations
        idle_agent_mb = agent_memory_mb(fleet)
        started_s = prepared.took_s + time.monotonic() - begun
        if chaos:
            stack.enter_context(chaos.unleash(sandbox, name, fleet))
        display.screen.line("from another shell, fedgrass status, pause, update, ... work on it after this line:")
        display.screen.line(shell_line(sandbox.aws.environment))

        def look(view: View) -> None:
            display.show(view)
            if chaos:
                chaos.look(view)

        report = None
        if options.out is None:
            history = run_rounds(sandbox, operations, name, scorer, look)
        else:
            with _recording(project, options.out, options.track, operations, display) as recording:
                history = run_rounds(sandbox, operations, name, scorer, look, recording)
                failed = verdict(history)
                recording.folder.finish("failed" if failed else "finished", failed[1] if failed else None)
            report = write_report(options.out).path
        survivals = chaos.survivals() if chaos else []
        memory_mb = process_memory_mb()
        functions = {
            "initiator": function_figures(sandbox, sandbox.deployment.initiator),
            "averager": function_figures(sandbox, sandbox.deployment.averager),
        }
    if options.keep is not None and report is not None:
        kept_files.add(options.keep, Path(report))
    typical = medians(history)
    return Outcome(
        federation=name,
        accuracy=typical.metrics.get("accuracy"),
        metrics=typical.metrics,
        client_metrics=typical.client_metrics,
        rounds=len(history),
        devices=len(prepared.folders),
        round_s=typical.round_s,
        overhead_s=typical.overhead_s,
        split_s=typical.split,
        idle_agent_mb=idle_agent_mb,
        memory_mb=memory_mb,
        started_s=started_s,
        functions=functions,
        history=history,
        run_folder=str(options.out) if options.out else None,
        report=report,
        kept=str(options.keep) if options.keep else None,
        chaos=survivals,
    )


def _teller(display: Display) -> Teller:
    return Teller(display.say, display.screen.line)


@contextlib.contextmanager
def _recording(
    project: Project, path: Path, track: TrackerName | None, operations: Operations, display: Display
) -> Iterator[Recording]:
    def warn(text: str) -> None:
        display.screen.line(f"warning: {text}")

    settings_of = functools.partial(settings_for_elsewhere, project)
    record = operations.federations.get(project.settings.name)
    settings = settings_of(record.settings)
    with (
        RunWriter.create(path, source="run", settings=settings, life=record.life) as folder,
        tracking(track, path, folder.summary, settings, warn) as tell,
    ):
        yield Recording(folder, settings_of, tell)


def show_warnings() -> None:
    """Have warnings written to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
