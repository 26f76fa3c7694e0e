"""`fedgrass demo`: a federation on this machine, through every real part, with live progress and a report."""

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cli import chaos as chaotic
from cli import initialization, preflight
from cli.chaos import NotSurvivedError
from cli.checking.checks import check_loaded
from cli.checking.findings import lines_of
from cli.client_data import clients_of, clients_of_digits
from cli.demo_failures import verdict
from cli.display import Display
from cli.outcome import Outcome
from cli.plurals import counted
from cli.project import Project, ProjectError, load
from cli.screen import LogFormatter, Screen
from cli.settings.contradictions import fleet_contradictions
from cli.settings.problems import told
from components import build
from sandbox.chaos import Chaos
from sandbox.federated_run import View, agent_memory_mb, process_memory_mb, run_rounds, wait_for_clients
from sandbox.fleet import BuiltComponent
from sandbox.function_logs import function_figures
from sandbox.nucleus.personality import CLASSIC, Personality
from sandbox.round_figures import medians
from sandbox.sandbox import STACK, Sandbox
from sandbox.scoring import Scorer
from sandbox.scratch import Scratch

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "components" / "tasks" / "mnist"


def run_demo(
    *,
    project: Path | None,
    devices: int,
    rounds: int | None,
    data: Path | None,
    split: str | None,
    seed: int,
    port: int,
    nuclei: Sequence[Personality],
    chaos: bool,
    as_json: bool,
) -> Outcome:
    """What the command does: run, show, and end with a report; with `chaos`, run again with faults. What is shown goes
    to standard error, if the outcome is to be printed as JSON.

    Raises:
        NoRoundClosedError, RoundsFailedError, DevicesFailedError, NotSurvivedError: see there.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    display = Display(Screen(stderr=as_json))
    try:
        with display:
            checked = load(project or EXAMPLE, rounds=rounds, **(chaotic.SETTINGS if chaos else {}))
            carry_through = functools.partial(
                run,
                checked,
                devices=devices,
                data=data,
                split=split,
                seed=seed,
                port=port,
                nuclei=nuclei,
                display=display,
            )
            if chaos:
                outcome = chaotic.compare(carry_through, checked.settings.rounds, devices, seed, display)
            else:
                outcome = carry_through()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted: everything that was started is stopped, its files are removed") from None
    if not as_json:
        display.report(outcome)
    if chaos and not chaotic.survived(outcome):
        raise NotSurvivedError("not all of it was survived", outcome)
    if not chaos and (failed := verdict(outcome.history)):
        kind, why = failed
        raise kind(why, outcome)
    return outcome


def run(
    project: Project,
    *,
    devices: int,
    data: Path | None = None,
    split: str | None = None,
    seed: int = 0,
    port: int = 0,
    nuclei: Sequence[Personality] = (CLASSIC,),
    call_latency_s: float | None = None,
    chaos: Chaos | None = None,
    display: Display | None = None,
) -> Outcome:
    """Run a federation from its first round to its last, on the data of `data`, or on the digits that fedgrass carries.

    `nuclei` is what the devices run, in turn; `call_latency_s` delays every AWS call of the functions; `chaos` injects
    faults.
    """
    display = display or Display(Screen(quiet=True))
    begun = time.monotonic()
    if problems := list(fleet_contradictions(project.settings, devices)):
        raise ProjectError(f"{project.path}: {told(problems)}")
    with contextlib.ExitStack() as stack:
        display.say(f"sharing the data out among {counted(devices, 'device')}")
        scratch = stack.enter_context(Scratch()).path
        shards = scratch / "shards"
        if data is None:
            folders, holdout = clients_of_digits(clients=devices, split=split, seed=seed, scratch=shards)
        else:
            folders, holdout = clients_of(data, clients=devices, split=split, seed=seed, scratch=shards)
        display.say("trying task.py out on the data of the devices")
        (temporary := scratch / "scoring").mkdir()
        model = tried_out(project, folders, display.screen.line)
        held_out = holdout or next(iter(folders.values()))
        scorer = stack.enter_context(Scorer(project.task, held_out, temporary, project.settings.training.seed))
        display.say("starting the embedded AWS and deploying the functions to it")
        fault = chaos.on_request if chaos else None
        sandbox = stack.enter_context(
            Sandbox(policies=project.policies, port=port, call_latency_s=call_latency_s, fault=fault)
        )
        component = build_component(project, sandbox.path / "greengrass-build", display.screen.line)
        devices_come = sandbox.fleet(component, project.settings, folders, nuclei, threads=1)
        with ThreadPoolExecutor(1) as beside:
            display.say(f"registering {counted(devices, 'device')} and starting a nucleus on each")
            if project.settings.thing_group is None:
                made = beside.submit(init_federation, project, sandbox, model)
                fleet = stack.enter_context(devices_come)
            else:  # whose things are counted when the federation is made
                fleet = stack.enter_context(devices_come)
                made = beside.submit(init_federation, project, sandbox, model)
            made.result()
        operations = sandbox.operations
        display.say("waiting for every device to say hello")
        wait_for_clients(operations, project.settings.name, fleet)
        idle_agent_mb = agent_memory_mb(fleet)
        started_s = time.monotonic() - begun
        if chaos:
            stack.enter_context(chaos.unleash(sandbox, project.settings.name, fleet))

        def look(view: View) -> None:
            display.show(view)
            if chaos:
                chaos.look(view)

        history = run_rounds(sandbox, operations, project.settings.name, scorer if holdout else None, look)
        survivals = chaos.survivals() if chaos else []
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
        chaos=survivals,
    )


def tried_out(project: Project, clients: Mapping[str, Path], tell: Callable[[str], None]) -> bytes:
    """The model that the federation starts with, when a check has found no errors; `tell` is called with its warnings.

    Raises:
        CheckFailedError: there are errors; the text has all of them.
    """
    checked = check_loaded(project, lambda _: clients)
    for finding in checked.findings:
        for line in lines_of(finding):
            tell(line)
    return checked.model


def build_component(project: Project, output: Path, tell: Callable[[str], None] = lambda _: None) -> BuiltComponent:
    """The component with the project's task, as GDK builds it. `tell` is called with lines on what is in it.

    Raises:
        BuildError: it can't be built; the text says why.
    """
    built = build.build(ROOT, output, project.task)
    for line in built.report:
        tell(line)
    return BuiltComponent(built.recipe, built.artifacts)


def init_federation(project: Project, sandbox: Sandbox, model: bytes) -> None:
    """What `fedgrass init` does after its check, which has given the model.

    Raises:
        NotReadyError: the deployment does not have what it needs; the text says what.
    """
    with contextlib.suppress(preflight.UnknownGroupError):  # there is time until the start
        preflight.check(sandbox.aws.client, STACK, project.settings, project.policies.get(project.settings.name))
    initialization.create(sandbox.operations, project, model)
