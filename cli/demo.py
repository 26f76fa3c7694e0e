"""`fedgrass demo`: a federation on this machine, through every real part, with live progress and a report."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import msgspec
import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli import digits
from cli.project import Project, load
from cli.split import Shards, Split, write_shards
from components import build
from sandbox.embedded_aws import EmbeddedAwsError
from sandbox.federated_run import (
    FunctionFigures,
    RoundFigures,
    RunError,
    View,
    agent_memory_mb,
    function_figures,
    medians,
    process_memory_mb,
    run_rounds,
    wait_for_clients,
)
from sandbox.fleet import BuiltComponent, ComponentBrokenError
from sandbox.sandbox import Sandbox
from sandbox.scoring import Scorer, ScoringError

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "components" / "tasks" / "mnist"


class DemoError(Exception):
    """The demo could not be carried through; the text says why and what to do."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run showed. `accuracy` (0 to 1) is of the last global model on data that no device has; times are medians
    over rounds 2 and later, in seconds; `overhead_s` is a round's time less its longest local training. `memory_mb` is
    what everything together takes, devices and embedded AWS; `functions` tells of the functions' invocations."""

    accuracy: float | None
    rounds: int
    devices: int
    round_s: float
    overhead_s: float
    split_s: dict[str, float]
    idle_agent_mb: float
    memory_mb: float
    started_s: float
    functions: dict[str, FunctionFigures]
    history: list[RoundFigures]


def run_demo(
    *,
    project: Path | None,
    devices: int,
    rounds: int | None,
    data: Path | None,
    split: Split,
    seed: int,
    port: int,
    as_json: bool,
) -> None:
    """What the command does: run, show, and end with a report or a line of JSON.

    Raises:
        DemoError: something a user can do something about.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    display = Display(Console(stderr=as_json, highlight=False))
    try:
        with _interruptible(), display:
            outcome = run(
                load(project or EXAMPLE, rounds=rounds),
                devices=devices,
                source=digits.from_directory(data) if data else digits.packaged(),
                split=split,
                seed=seed,
                port=port,
                display=display,
            )
    except KeyboardInterrupt:
        display.console.print("interrupted: everything that was started is stopped, and its files are removed")
        sys.exit(130)
    except (BrokenPipeError, ComponentBrokenError, EmbeddedAwsError, RunError, ScoringError, TimeoutError) as error:
        raise DemoError(str(error)) from error
    if as_json:
        sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    else:
        display.report(outcome)


def run(
    project: Project,
    *,
    devices: int,
    source: digits.Source,
    split: Split,
    seed: int = 0,
    port: int = 0,
    call_latency_s: float | None = None,
    display: "Display | None" = None,
) -> Outcome:
    """Run a federation on digits from its first round to its last.

    `call_latency_s` delays every AWS call of the functions.
    """
    display = display or Display(Console(quiet=True))
    begun = time.monotonic()
    display.say("starting the embedded AWS and deploying the functions to it")
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(policies=project.policies, port=port, call_latency_s=call_latency_s))
        display.say(f"sharing {len(source.train.labels):,} examples out among {devices} devices")
        things = [f"device-{number:03d}" for number in range(devices)]
        shards = write_shards(source, sandbox.path / "shards", things, split, seed)
        scoring = _scoring_data(shards, source)
        component = build_component(project, sandbox.path / "greengrass-build")
        with ThreadPoolExecutor(1) as beside:
            made = beside.submit(init_federation, project, sandbox)
            display.say(f"registering {devices} devices and starting a nucleus on each")
            fleet = stack.enter_context(sandbox.fleet(component, project.settings.name, shards.clients, threads=1))
            display.say("making the initial model")
            made.result()
        operations = sandbox.operations
        display.say("waiting for every device to say hello")
        wait_for_clients(operations, project.settings.name, fleet)
        idle_agent_mb = agent_memory_mb(fleet)
        scorer = stack.enter_context(Scorer(project.task, scoring))
        started_s = time.monotonic() - begun
        history = run_rounds(sandbox, operations, project.settings.name, scorer, display.show)
        memory_mb = process_memory_mb()
        functions = {
            "initiator": function_figures(sandbox, sandbox.deployment.initiator),
            "averager": function_figures(sandbox, sandbox.deployment.averager),
        }
    typical = medians(history)
    return Outcome(
        accuracy=typical.metrics.get("accuracy"),
        rounds=len(history),
        devices=devices,
        round_s=typical.round_s,
        overhead_s=typical.overhead_s,
        split_s=typical.split,
        idle_agent_mb=idle_agent_mb,
        memory_mb=memory_mb,
        started_s=started_s,
        functions=functions,
        history=history,
    )


def _scoring_data(shards: Shards, source: digits.Source) -> Path:
    """The held-out part as a task reads it: it looks for a training part as well, which scoring doesn't use."""
    digits.write(shards.holdout, "train", source.holdout)
    return shards.holdout


def build_component(project: Project, output: Path) -> BuiltComponent:
    """The component with the project's task, as GDK builds it.

    Raises:
        DemoError: it can't be built; the text says why.
    """
    try:
        built = build.build(ROOT, output, project.task)
    except build.BuildError as error:
        raise DemoError(str(error)) from error
    return BuiltComponent(built.recipe, built.artifacts)


def init_federation(project: Project, sandbox: Sandbox) -> None:
    """`fedgrass init`, as a user does it; in a process of its own, as it needs torch.

    Raises:
        DemoError: the federation could not be made; the text is the command's.
    """
    directory = sandbox.path / "federation"
    directory.mkdir()
    settings = msgspec.to_builtins(project.settings) | {"task": str(project.task)}
    if project.settings.initial_model is not None:
        settings["initial_model"] = str((project.directory / project.settings.initial_model).resolve())
    (directory / "federation.yaml").write_text(yaml.safe_dump(settings))
    for path in project.policies.values():
        shutil.copy(path, directory)
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", "init", str(directory)],
        env=os.environ | sandbox.aws.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise DemoError(f"fedgrass init: {ran.stderr.strip()[-2000:]}")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: everything is cleaned up."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {name: signal.signal(name, interrupt) for name in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


class Display:
    """What a person sees: on a terminal a live picture, elsewhere a line for each round."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._shown = 0

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, what: str) -> None:
        """One line on what is being done."""
        if self.console.is_terminal:
            self._live.update(Text(f"{what} ..."))
        else:
            self.console.print(what)

    def show(self, view: View) -> None:
        """The state of the federation."""
        for figures in view.ended[self._shown :]:
            self.console.print(_line(figures))
        self._shown = len(view.ended)
        if self.console.is_terminal:
            self._live.update(_picture(view))

    def report(self, outcome: Outcome) -> None:
        """The closing table."""
        table = Table(title=f"{outcome.rounds} rounds with {outcome.devices} devices", show_header=False)
        accuracy = "not scored" if outcome.accuracy is None else f"{outcome.accuracy:.1%}"
        table.add_row("accuracy of the global model on held-out data", accuracy)
        table.add_row("a round (median)", f"{outcome.round_s:.2f} s")
        table.add_row("of which not local training", f"{outcome.overhead_s:.2f} s")
        for step, seconds in outcome.split_s.items():
            table.add_row(f"  {step}", f"{seconds:.3f} s")
        table.add_row("memory of an idle agent (median)", f"{outcome.idle_agent_mb:.0f} MB")
        table.add_row("memory of everything together", f"{outcome.memory_mb:,.0f} MB")
        table.add_row("from the command to the first round", f"{outcome.started_s:.1f} s")
        self.console.print(table)


def _line(figures: RoundFigures) -> str:
    metrics = " ".join(f"{name} {value:.4f}" for name, value in figures.metrics.items())
    split = " ".join(f"{step} {seconds:.2f}" for step, seconds in figures.split.items())
    return (
        f"round {figures.round:3d} {figures.status}: {figures.accepted} updates, {metrics}, "
        f"{figures.round_s:.2f} s ({split})"
    )


def _picture(view: View) -> Group:
    phases = Counter(view.phases.values())
    told = "  ".join(f"{phase} {count}" for phase, count in sorted(phases.items()))
    heading = Text(f"round {view.round} of {view.rounds}: {view.state}   ", style="bold")
    heading.append(told or "devices are being told", style="not bold")
    return Group(heading, ProgressBar(total=view.rounds, completed=len(view.ended), width=60))
