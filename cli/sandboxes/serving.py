"""Having a sandbox up, in this process, until it is told to end."""

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from cli.client_data import ClientData
from cli.project import Project
from cli.project_sandbox import Teller, project_sandbox
from cli.project_trial import tried_out
from cli.sandbox_end import told_of_end
from cli.sandboxes.place import Place, SandboxState
from sandbox import kept_files
from sandbox.embedded_aws import check_port
from sandbox.nucleus.personality import Personality
from sandbox.sandbox import Sandbox
from sandbox.scratch import Scratch


class Content(NamedTuple):
    """A project whose devices and federation are to be in a sandbox: `data` gives the clients' data, what of it has to
    be made in a folder; `nuclei` is what the devices run, in turn."""

    project: Project
    data: Callable[[Path], ClientData]
    nuclei: Sequence[Personality]


def serve(
    place: Place,
    content: Content | None,
    port: int,
    keep: Path | None,
    tell: Callable[[str], None],
    ready: Callable[[SandboxState], None],
) -> NoReturn:
    """Have a sandbox up until this process is interrupted, with no devices and no federation if it has no `content`.
    `port` and `keep` are as for Sandbox; `ready` is called when it is up.

    Raises:
        SandboxUpError: there is one of the name.
        PortTakenError: the port is in use.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(place.held())
        if keep is not None:
            kept_files.check_usable(keep)
        check_port(port)
        stack.enter_context(told_of_end(keep, tell))
        project, devices = None, 0
        if content is None:
            tempfile.gettempdir()  # it tries the directory with a file; who is told of a start may interrupt it
            tell("starting the embedded AWS and deploying the functions to it")
            sandbox = stack.enter_context(Sandbox(port=port, keep=keep))
        else:
            project, teller = content.project, Teller(tell, tell)
            scratch = stack.enter_context(Scratch()).path
            (folders, _), model = tried_out(project, content.data, scratch, teller)
            sandbox, fleet = stack.enter_context(
                project_sandbox(project, folders, model, content.nuclei, teller, port=port, keep=keep)
            )
            devices = len(fleet.devices)
        state = SandboxState(
            name=place.name,
            pid=os.getpid(),
            since=time.time(),
            environment=sandbox.aws.environment,
            scratch=str(sandbox.path),
            project=None if project is None else str(project.path.absolute()),
            federation=None if project is None else project.settings.name,
            devices=devices,
            keep=None if keep is None else str(keep),
        )
        place.write(state)
        ready(state)
        while True:
            signal.pause()
