"""The commands by which an operator expels a device and readmits it: what they say, and how they end."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from cli.main import app
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus.credentials import TokenExchangeRole
from tests.cloud.simulated import SimulatedFederation

NAME, THING = "expelling", "device-7"


@pytest.fixture
def federation(
    aws: EmbeddedAws, deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimulatedFederation]:
    """A federation of two devices, with credentials of an operator."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    TokenExchangeRole(aws.client("iam"), aws.client("sts"), deployed.device_policy_arn)
    simulated = SimulatedFederation(aws, deployed, NAME)
    simulated.create([THING, "device-8"], rounds=1)
    yield simulated
    CliRunner().invoke(app, ["readmit", THING])
    aws.client("dynamodb").delete_item(TableName=deployed.federations_table, Key={"federation": {"S": NAME}})


def test_a_device_is_expelled_shown_as_such_and_readmitted(federation: SimulatedFederation) -> None:
    runner = CliRunner()
    rehearsed = runner.invoke(app, ["expel", THING, "--dry-run"])
    assert rehearsed.exit_code == 0
    assert f"to do: federation {NAME} takes no word or update of {THING}" in rehearsed.output
    assert "expelled:" not in runner.invoke(app, ["status", NAME]).output

    ran = runner.invoke(app, ["expel", THING])
    assert ran.exit_code == 0
    assert f"done: federation {NAME} takes no word or update of {THING}" in ran.output
    shown = runner.invoke(app, ["status", NAME]).output
    assert f"{NAME}: expelled: {THING}" in shown
    assert json.loads(runner.invoke(app, ["status", NAME, "--json"]).output)[0]["expelled"] == [THING]

    again = json.loads(runner.invoke(app, ["expel", THING, "--json"]).output)
    assert again["thing"] == THING
    assert {step["outcome"] for step in again["steps"]} == {"already so"}

    assert runner.invoke(app, ["readmit", THING]).exit_code == 0
    assert "expelled:" not in runner.invoke(app, ["status", NAME]).output


def test_a_federation_that_is_given_twice_is_told_once(federation: SimulatedFederation) -> None:
    ran = CliRunner().invoke(app, ["expel", THING, "--federation", NAME, "--federation", NAME, "--json"])
    assert [step["outcome"] for step in json.loads(ran.output)["steps"]] == ["done"]


def test_an_expulsion_of_which_a_step_remains_ends_with_status_1(
    aws: EmbeddedAws, federation: SimulatedFederation
) -> None:
    iot = aws.client("iot")
    arn = iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]
    for thing in (THING, "device-8"):
        iot.attach_thing_principal(thingName=thing, principal=arn)
    ran = CliRunner().invoke(app, ["expel", THING])
    assert ran.exit_code == 1
    assert "for device-8 use it, too" in ran.output
    for thing in (THING, "device-8"):
        iot.detach_thing_principal(thingName=thing, principal=arn)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["expel", "nobody"], "no thing 'nobody'"),
        (["expel", "no/name"], "no/name"),
        (["expel", THING, "--federation", "nowhere"], "no federation 'nowhere'"),
        (["expel", THING, "--federation", ""], "federation name ''"),
        (["expel", THING, "--federation", NAME, "--federation", "No Name"], "federation name 'No Name'"),
        (["readmit", THING, "--federation", ""], "federation name ''"),
        (["readmit", "nobody"], "no thing 'nobody'"),
    ],
)
def test_what_can_be_meant_for_nothing_is_refused(
    federation: SimulatedFederation, arguments: list[str], said: str
) -> None:
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 1
    assert said in str(ran.exception)
