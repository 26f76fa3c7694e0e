"""A device on nucleus lite whose token exchange service has no credentials, and then dies."""

import json
import re
from pathlib import Path

import pytest

from cli import digits
from cli.datasets.dividing import Request
from cli.datasets.splitting import Split
from cli.datasets.writing import share_out
from cli.project import load
from cli.project_data import EXAMPLE
from cli.project_sandbox import build_component, init_federation
from protocol import names
from reporting.view import View
from sandbox.embedded_aws import EmbeddedAws
from sandbox.federated_run import run_rounds, wait_for_clients
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.nucleus.personality import LITE
from sandbox.sandbox import Sandbox
from tests.e2e.federations import model_0

THING = "lite"


def told(aws: EmbeddedAws) -> str:
    """The reason that the device gives for where it is."""
    shadow = aws.client("iot-data").get_thing_shadow(thingName=THING, shadowName=names.shadow_name("digits"))
    reported = json.loads(shadow["payload"].read())["state"].get("reported", {})
    return str(reported.get("progress", {}).get("reason", ""))


def is_training(view: View) -> bool:
    return any((one.name, one.state) == (THING, "training") for one in view.devices())


@pytest.mark.timeout(240)
def test_a_round_waits_for_credentials_and_outlasts_the_service_that_gives_them(tmp_path: Path) -> None:
    project = load(EXAMPLE, rounds=1, deadline_s=120)
    shards = share_out(digits.packaged_source(), Request(Split("iid"), names=(THING,)), tmp_path / "shards")
    reasons: list[str] = []
    stopped: list[ComponentState] = []
    with Sandbox() as sandbox:
        component = build_component(project, sandbox.path / "build")
        init_federation(project, sandbox, model_0(project))
        with sandbox.fleet(component, project.settings, shards.clients, (LITE,), threads=1) as fleet:
            device = fleet.devices[THING]
            wait_for_clients(sandbox.operations, "digits", fleet)
            device.refuse_credentials()

            def crash_when_it_waits(view: View) -> None:
                if stopped or not is_training(view) or not (reason := told(sandbox.aws)):
                    return
                reasons.append(reason)
                device.crash_token_exchange()
                stopped.append(device.state)
                device.refuse_credentials(False)
                device.start_components()

            (figures,) = run_rounds(sandbox, sandbox.operations, "digits", look=crash_when_it_waits)
    assert re.search(r"no credentials from the token exchange service: .*`null`", reasons[0])
    assert stopped == [ComponentState.STOPPED]
    assert (figures.status, figures.accepted) == ("closed", 1)
