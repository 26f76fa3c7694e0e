"""fedgrass doctor: what is wrong is told in a line each, with the command that mends it, and by the status."""

import pytest

from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from tests.cli.running import fedgrass
from tests.cli.test_screen import HOSTILE
from tests.cloud.simulated import SimulatedFederation


@pytest.fixture(autouse=True)
def operator(aws: EmbeddedAws, deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the commands use the embedded AWS."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)


def test_what_is_wrong_is_told_with_what_mends_it_and_ends_with_1(simulated: SimulatedFederation) -> None:
    thing = f"ill-{simulated.name}"  # what other tests leave of a d0 is told too
    simulated.create([thing], rounds=1)
    simulated.start()
    simulated.opened(1)
    simulated.report_progress(thing, 1, "failed", HOSTILE)
    ran = fedgrass("doctor", "--thing", thing)
    assert ran.status == 1
    lines = ran.out.splitlines()
    told = [line for line in lines if line.startswith(f"wrong: {thing}: shadow: ")]
    assert len(told) == 1
    assert told[0].startswith(f"wrong: {thing}: shadow: round 1 of {simulated.name}: failed: ")
    assert lines[lines.index(told[0]) + 1] == f"    fedgrass logs {simulated.name} --thing {thing}"
    assert f"ok: {thing}: registered: AWS IoT has the thing" in lines
    assert all(line.isprintable() for line in lines)
    assert "found something wrong" in ran.error


def test_with_json_all_findings_are_in_the_envelope_whatever_they_are() -> None:
    ran = fedgrass("doctor", "--stack", "no-such-stack", "--json")
    assert (ran.status, ran.envelope["error"]["code"]) == (1, "something_wrong")
    found = {finding["check"]: finding for finding in ran.result["findings"]}
    assert found["deployed"] == {
        "check": "deployed",
        "about": "stack no-such-stack",
        "state": "wrong",
        "text": "there is no stack no-such-stack",
        "remedy": "fedgrass deploy cloud --stack no-such-stack",
    }
    assert {finding["state"] for finding in ran.result["findings"]} == {"ok", "wrong", "not checked"}


def test_a_device_and_a_group_are_not_looked_at_in_one() -> None:
    ran = fedgrass("doctor", "--thing", "d0", "--thing-group", "meadow")
    assert (ran.status, "give either" in ran.error) == (2, True)
    assert fedgrass("doctor", "--thing", "no thing").status == 2


def test_an_aws_that_can_not_be_reached_is_no_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert fedgrass("doctor").status == 3
