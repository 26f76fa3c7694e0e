"""A project in a sandbox: its devices with the component, registered and waiting, and its federation, not started."""

import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cli import initialization, preflight
from cli.plurals import counted
from cli.project import Project
from cloud.settings import Federation
from components import build
from sandbox.built_component import BuiltComponent
from sandbox.federated_run import wait_for_clients
from sandbox.fleet import Fleet
from sandbox.nucleus.personality import Personality
from sandbox.sandbox import STACK, Sandbox

_ROOT = Path(__file__).parent.parent


class ProjectSandbox(NamedTuple):
    """A sandbox in which a federation is ready to start, with its fleet."""

    sandbox: Sandbox
    fleet: Fleet


class Teller(NamedTuple):
    """What is said meanwhile: `step` is done now, and `line` is to stay."""

    step: Callable[[str], None]
    line: Callable[[str], None]


@contextlib.contextmanager
def project_sandbox(
    project: Project,
    datasets: Mapping[str, Path],
    model: bytes,
    nuclei: Sequence[Personality],
    teller: Teller,
    **options: Any,
) -> Iterator[ProjectSandbox]:
    """For the time of a `with` block. `datasets` is thing name -> the directory of its data, `model` what the
    federation starts with, `nuclei` what the devices run, in turn; `options` are those of Sandbox.

    Raises:
        NotReadyError: the federation can't be made.
        RunError, ComponentBrokenError, DevicesOfflineError: a device does not come.
    """
    with contextlib.ExitStack() as stack:
        teller.step("starting the embedded AWS and deploying the functions to it")
        sandbox = stack.enter_context(Sandbox(policies=project.policies, **options))
        component = build_component(project, sandbox.path / "greengrass-build", teller.line)
        devices_come = sandbox.fleet(component, project.settings, datasets, nuclei, threads=1)
        with ThreadPoolExecutor(1) as beside:
            teller.step(f"registering {counted(len(datasets), 'device')} and starting a nucleus on each")
            if project.settings.thing_group is None:
                made = beside.submit(init_federation, project, sandbox, model)
                fleet = stack.enter_context(devices_come)
            else:  # whose things are counted when the federation is made
                fleet = stack.enter_context(devices_come)
                made = beside.submit(init_federation, project, sandbox, model)
            made.result()
        teller.step("waiting for every device to say hello")
        wait_for_clients(sandbox.operations, project.settings.name, fleet)
        yield ProjectSandbox(sandbox, fleet)


def build_component(project: Project, output: Path, tell: Callable[[str], None] = lambda _: None) -> BuiltComponent:
    """The component with the project's task, as GDK builds it. `tell` is called with lines on what is in it.

    Raises:
        BuildError: it can't be built; the text says why.
    """
    built = build.build(_ROOT, output, project.task)
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


def settings_for_elsewhere(project: Project, settings: Federation) -> Federation:
    """Settings of the project's federation as they are read in any other folder."""
    model = settings.initial_model
    initial_model = None if model is None else str((project.directory / model).resolve())
    return msgspec.structs.replace(settings, task=str(project.task), initial_model=initial_model)


def shell_line(environment: Mapping[str, str]) -> str:
    """What makes a shell's commands find the sandbox."""
    return "export " + " ".join(f"{name}={shlex.quote(value) if value else ''}" for name, value in environment.items())
