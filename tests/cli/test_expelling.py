"""The commands by which an operator expels a device and readmits it: what they say, and how they end."""

from collections.abc import Iterator

import pytest

from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus.credentials import TokenExchangeRole
from tests.cli.running import fedgrass
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
    fedgrass("readmit", THING)
    aws.client("dynamodb").delete_item(TableName=deployed.federations_table, Key={"federation": {"S": NAME}})


def test_a_device_is_expelled_shown_as_such_and_readmitted(federation: SimulatedFederation) -> None:
    rehearsed = fedgrass("expel", THING, "--dry-run")
    assert rehearsed.status == 0
    assert f"to do: federation {NAME} takes no word or update of {THING}" in rehearsed.out
    assert "expelled:" not in fedgrass("status", NAME).out

    ran = fedgrass("expel", THING)
    assert ran.status == 0
    assert f"done: federation {NAME} takes no word or update of {THING}" in ran.out
    shown = fedgrass("status", NAME).out
    assert f"{NAME}: expelled: {THING}" in shown
    assert fedgrass("status", NAME, "--json").result["federations"][0]["expelled"] == [THING]

    again = fedgrass("expel", THING, "--json").result
    assert again["thing"] == THING
    assert {step["outcome"] for step in again["steps"]} == {"already so"}

    assert fedgrass("readmit", THING).status == 0
    assert "expelled:" not in fedgrass("status", NAME).out


def test_a_federation_that_is_given_twice_is_told_once(federation: SimulatedFederation) -> None:
    ran = fedgrass("expel", THING, "--federation", NAME, "--federation", NAME, "--json")
    assert [step["outcome"] for step in ran.result["steps"]] == ["done"]


def test_an_expulsion_of_which_a_step_remains_ends_with_status_1(
    aws: EmbeddedAws, federation: SimulatedFederation
) -> None:
    iot = aws.client("iot")
    arn = iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]
    for thing in (THING, "device-8"):
        iot.attach_thing_principal(thingName=thing, principal=arn)
    ran = fedgrass("expel", THING)
    assert ran.status == 1
    assert "for device-8 use it, too" in ran.out
    in_json = fedgrass("expel", THING, "--json")
    assert (in_json.status, in_json.envelope["error"]["code"]) == (1, "steps_remain")
    assert "remains" in {step["outcome"] for step in in_json.result["steps"]}
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
    ran = fedgrass(*arguments)
    assert ran.status == 2
    assert said in ran.error
