"""`fedgrass demo`: a federation on this machine, through every real part, with live progress and a report."""

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import yaml

from cli import chaos as chaotic
from cli.chaos import NotSurvivedError
from cli.client_data import clients_of, clients_of_digits
from cli.demo_failures import verdict
from cli.display import Display
from cli.outcome import Outcome
from cli.plurals import counted
from cli.project import Project, ProjectError, load
from cli.relaying import relay
from cli.screen import LogFormatter, Screen
from cli.settings.contradictions import fleet_contradictions
from cli.settings.problems import told
from cloud.settings import Federation
from components import build
from sandbox.chaos import Chaos
from sandbox.federated_run import (
    View,
    agent_memory_mb,
    function_figures,
    medians,
    process_memory_mb,
    run_rounds,
    wait_for_clients,
)
from sandbox.fleet import BuiltComponent
from sandbox.nucleus.personality import CLASSIC, Personality
from sandbox.sandbox import Sandbox
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
        display.say("trying task.py out on the data of one device")
        (temporary := scratch / "scoring").mkdir()
        first = next(iter(folders.values()))
        scorer = stack.enter_context(
            Scorer(project.task, first, holdout or first, temporary, project.settings.training.seed)
        )
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
                made = beside.submit(init_federation, project, sandbox)
                fleet = stack.enter_context(devices_come)
            else:  # whose things are counted when the federation is made
                fleet = stack.enter_context(devices_come)
                made = beside.submit(init_federation, project, sandbox)
            display.say("making the initial model")
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


def build_component(project: Project, output: Path, tell: Callable[[str], None] = lambda _: None) -> BuiltComponent:
    """The component with the project's task, as GDK builds it. `tell` is called with lines on what is in it.

    Raises:
        BuildError: it can't be built; the text says why.
    """
    built = build.build(ROOT, output, project.task)
    for line in built.report:
        tell(line)
    return BuiltComponent(built.recipe, built.artifacts)


def init_federation(project: Project, sandbox: Sandbox) -> None:
    """`fedgrass init`, as a user does it; in a process of its own, as it needs torch.

    Raises:
        RelayedError: the federation could not be made.
    """
    directory = sandbox.path / "federation"
    directory.mkdir()
    bare = Federation(name=project.settings.name, training=project.settings.training)
    given = {name: getattr(project.settings, name) for name in Federation.__struct_fields__}
    settings = {name: msgspec.to_builtins(value) for name, value in given.items() if value != getattr(bare, name)}
    settings |= msgspec.to_builtins({"name": bare.name, "training": bare.training, "task": str(project.task)})
    if project.settings.initial_model is not None:
        settings["initial_model"] = str((project.directory / project.settings.initial_model).resolve())
    (directory / "federation.yaml").write_text(yaml.safe_dump(settings))
    for content in project.policies.values():
        (directory / "policies.py").write_bytes(content)
    relay("init", str(directory), environment=sandbox.aws.environment)
