"""A process with a whole sandbox, to be ended from outside: `python -m tests.sandbox.sandbox_parent [DIRECTORY]`.

It writes a line of JSON at each stage: first where its scratch directory is, last which processes there are. With a
directory it has the embedded AWS there, and nothing else.
"""

import json
import sys
import time
from pathlib import Path

import psutil

from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Fleet
from sandbox.scratch import Scratch
from tests.sandbox.conftest import make_access
from tests.sandbox.probe import Control, build
from tests.sandbox.test_embedded_aws import create_function, invoke


def tell(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def run_aws(directory: Path) -> None:
    with EmbeddedAws(directory) as aws:
        create_function(aws, "idle", "def handle(e, c): return 1")
        invoke(aws, "idle")
        tell(processes=[child.pid for child in psutil.Process().children(recursive=True)])
        time.sleep(600)


def run_sandbox() -> None:
    with Scratch() as scratch:
        tell(scratch=str(scratch.path))
        with EmbeddedAws(scratch.path / "aws") as aws:
            create_function(aws, "idle", "def handle(e, c): return 1")
            invoke(aws, "idle")
            tell(aws=aws.pid)
            control = Control(scratch.path / "control")
            component = build(scratch.path / "build")
            configurations = {"thing-1": control.configuration, "thing-2": control.configuration}
            with Fleet(aws, scratch, scratch.path / "devices", component, make_access(aws), configurations):
                forked = [control.accept().call("fork") for _ in configurations]
                children = [child.pid for child in psutil.Process().children(recursive=True)]
                tell(processes=children, forked=forked)
                time.sleep(600)


if len(sys.argv) > 1:
    run_aws(Path(sys.argv[1]))
else:
    run_sandbox()
