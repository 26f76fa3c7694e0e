"""`fedgrass deploy fleet`: what it shows, what the group then has, and what it tells of its devices."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer

from cli.new_project import new_project
from operations import model_component
from operations.deployment import Deployment
from operations.model_component import Metadata
from sandbox.embedded_aws import EmbeddedAws
from sandbox.greengrass.core_devices import CoreDevice
from tests.cli.acted_fleets import ActedFleet
from tests.cli.published import BUCKET, RUNTIME, publish, publish_runtime
from tests.cli.running import Ran, fedgrass
from tests.sandbox.greengrass.publishing import Operator

ROLE = "fleet-token-exchange"


@pytest.fixture(scope="module", autouse=True)
def published_runtime(aws: EmbeddedAws, deployed: Deployment) -> Iterator[None]:
    """In two versions that the client takes, and one that it does not. And the role of the devices."""
    for version in ("0.1.0", "0.1.2", "2.0.0"):
        publish_runtime(aws, version)
    trust = {"Effect": "Allow", "Principal": {"Service": "credentials.iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam = aws.client("iam")
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=document)
    yield
    with suppress(iam.exceptions.NoSuchEntityException):
        iam.detach_role_policy(RoleName=ROLE, PolicyArn=deployed.device_policy_arn)


@pytest.fixture(autouse=True)
def operator(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has credentials."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)


class Fleet:
    """A project with a component of its own name, published in version 0.1.0; and a group for it."""

    def __init__(self, aws: EmbeddedAws, path: Path) -> None:
        self.aws = aws
        self.id = uuid4().hex[:8]
        self.path = path / "project"
        self.group = f"group-{self.id}"
        self.client = f"com.example.Client{self.id}"
        new_project(self.path, "blank", f"f-{self.id}")
        config = self.path / "gdk-config.json"
        config.write_text(config.read_text().replace("com.fedgrass.Client", self.client))
        self.publish("0.1.0")

    def publish(self, version: str) -> None:
        publish(self.aws, self.path, version)

    def devices(self, *names: str, **options: Any) -> ActedFleet:
        return ActedFleet(self.aws, self.group, [f"{name}-{self.id}" for name in names], **options)

    def deploy(self, *words: str) -> Ran:
        return fedgrass("deploy", "fleet", str(self.path), "--thing-group", self.group, "--role", ROLE, *words)

    def latest(self, group: str = "") -> Any:
        """What the service has of the group's latest deployment; None if there is none."""
        greengrass, account = self.aws.client("greengrassv2"), "000000000000"
        arn = f"arn:aws:iot:us-east-1:{account}:thinggroup/{group or self.group}"
        for found in greengrass.list_deployments(targetArn=arn)["deployments"]:
            return greengrass.get_deployment(deploymentId=found["deploymentId"])
        return None

    def merged(self) -> Any:
        return json.loads(self.latest()["components"][self.client]["configurationUpdate"]["merge"])


@pytest.fixture
def fleet(aws: EmbeddedAws, tmp_path: Path) -> Fleet:
    return Fleet(aws, tmp_path)


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_fleet_is_shown_deployed_to_and_left_as_it_is(
    fleet: Fleet, deployed: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(
        tmp_path / "devices.yaml", "dataset: /var/lib/digits\nthreads: 2\nindex_url: https://u:p@example.com/simple\n"
    )
    with fleet.devices("a", "b") as devices:
        shown = fleet.deploy("--config", config, "--dry-run")
        assert shown.status == 0
        assert fleet.latest() is None
        (row,) = (line.split() for line in shown.out.splitlines() if line.startswith(RUNTIME) and "0.1.2" in line)
        assert row == [RUNTIME, "none", "0.1.2"]
        assert "//...@example.com" in shown.out.split("{")[0]
        document, _ = json.JSONDecoder().raw_decode(shown.out[shown.out.index("\n{") + 1 :])
        assert document["deploymentPolicies"]["failureHandlingPolicy"] == "ROLLBACK"

        unasked = fleet.deploy("--config", config, "--json")
        assert (unasked.status, unasked.envelope["error"]["code"]) == (2, "wrong_usage")
        with monkeypatch.context() as patched:
            patched.setattr("sys.stdin.isatty", lambda: True)
            patched.setattr(typer, "confirm", lambda _: False)
            assert fleet.deploy("--config", config).status == 0
        assert fleet.latest() is None

        made = fleet.deploy("--config", config, "--yes", "--json", "--rate", "50/minute")
        assert made.status == 0, made.error
        assert made.result["changed"]
        assert {(state["thing"], state["outcome"]) for state in made.result["devices"]} == {
            (thing, "done") for thing in devices.things
        }
        assert made.result["devices"][0]["versions"] == {fleet.client: "0.1.0", RUNTIME: "0.1.2"}
        assert f"{devices.things[0]}  done" in made.error
        latest = fleet.latest()
        assert latest["deploymentId"] == made.result["deployment_id"]
        assert fleet.merged() == {
            "federation": f"f-{fleet.id}",
            "bucket": deployed.bucket,
            "dataset": "/var/lib/digits",
            "threads": 2,
        }
        assert latest["iotJobConfiguration"]["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 50}

        again = fleet.deploy("--json")
        assert (again.status, again.result["changed"]) == (0, False)
        assert "is up to date: nothing to change" in again.error
        assert fleet.latest()["deploymentId"] == latest["deploymentId"]


def test_components_of_others_and_their_configuration_stay(fleet: Fleet) -> None:
    others: dict[str, Any] = {
        "aws.greengrass.Cli": {"componentVersion": "2.16.0"},
        "aws.greengrass.Nucleus": {
            "componentVersion": "2.16.0",
            "configurationUpdate": {"merge": '{"jvmOptions":  "-Xmx64m"}', "reset": ["/logging"]},
        },
    }
    with fleet.devices("a"):
        greengrass = fleet.aws.client("greengrassv2")
        for name, entry in others.items():
            arn = f"arn:aws:greengrass:us-east-1:aws:components:{name}"
            (version,) = greengrass.list_component_versions(arn=arn)["componentVersions"]
            entry["componentVersion"] = version["componentVersion"]
        arn = fleet.aws.client("iot").describe_thing_group(thingGroupName=fleet.group)["thingGroupArn"]
        greengrass.create_deployment(targetArn=arn, deploymentName="ours", components=others)
        made = fleet.deploy("--yes")
        assert made.status == 0, made.error
        assert "aws.greengrass.Cli, aws.greengrass.Nucleus stay as they are" in made.out
        latest = fleet.latest()
        assert latest["deploymentName"] == "ours"
        assert others.items() <= latest["components"].items()
        assert latest["components"].keys() == others.keys() | {fleet.client, RUNTIME}


def test_a_newer_version_is_deployed_with_what_was_configured(fleet: Fleet, tmp_path: Path) -> None:
    with fleet.devices("a") as devices:
        config = written(tmp_path / "devices.json", '{"dataset": "/data", "niceness": 5}')
        assert fleet.deploy("--config", config, "--yes", "--runtime-version", "0.1.0").status == 0
        fleet.publish("0.1.1")
        made = fleet.deploy("--config", written(tmp_path / "less.yaml", "niceness:\n"), "--yes", "--json")
        assert made.status == 0, made.error
        assert made.result["versions"] == [
            {"component": fleet.client, "before": "0.1.0", "after": "0.1.1"},
            {"component": RUNTIME, "before": "0.1.0", "after": "0.1.2"},
        ]
        assert [(each["key"], each["before"], each["after"]) for each in made.result["keys"]] == [("niceness", 5, None)]
        update = devices.given[devices.things[0]][-1]["components"][fleet.client]["configurationUpdate"]
        assert update["merge"]["dataset"] == "/data"
        assert "niceness" not in update["merge"]
        assert update["reset"] == ["/accessControl", "/niceness"]
        back = fleet.deploy("--client-version", "0.1.0", "--yes", "--json")
        assert back.result["versions"] == [{"component": fleet.client, "before": "0.1.1", "after": "0.1.0"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "threads: 2\ndatset: /data\n",
            ":2: no component has a key datset in its configuration: did you mean dataset?",
        ),
        ("bucket: mine\n", ":1: bucket is not to be set: it is that of the stack fedgrass"),
        ("dataset: /data\nthreads: many\n", ":2: "),
        ("- dataset\n", "it needs keys with values"),
        ("a: [\n", ":2: "),
    ],
)
def test_what_no_component_takes_is_refused_with_its_line(fleet: Fleet, tmp_path: Path, text: str, told: str) -> None:
    with fleet.devices("a"):
        ended = fleet.deploy("--config", written(tmp_path / "devices.yaml", text), "--yes", "--json")
    assert (ended.status, ended.envelope["error"]["code"]) == (2, "invalid_configuration")
    assert told in ended.envelope["error"]["message"]
    assert fleet.latest() is None


def test_what_is_not_published_is_named_with_the_command_that_publishes_it(fleet: Fleet) -> None:
    with fleet.devices("a"):
        ended = fleet.deploy("--client-version", "0.9.0", "--yes", "--json")
        assert (ended.status, ended.envelope["error"]["code"]) == (1, "not_published")
        assert f"{fleet.client} 0.9.0 is not published in us-east-1, which has 0.1.0" in ended.error
        assert f"cd {fleet.path} && gdk component build && gdk component publish" in ended.error
        ended = fleet.deploy("--runtime-version", "2.0.0", "--yes")
        assert f"{RUNTIME} 2.0.0 does not fit: >=0.1.0 <2.0.0 is asked for" in ended.error
        assert fleet.latest() is None
        shutil.copy(fleet.path / "gdk-config.json", fleet.path / "old.json")
        config = fleet.path / "gdk-config.json"
        config.write_text(config.read_text().replace(fleet.client, "com.example.Nothing"))
        assert "com.example.Nothing is not published in us-east-1: publish it" in fleet.deploy("--yes").error


@pytest.mark.parametrize("kind", ["client", "runtime"])
def test_what_is_published_under_its_name_and_is_no_such_component_is_not_deployed(fleet: Fleet, kind: str) -> None:
    name = {"client": fleet.client, "runtime": f"com.example.Runtime{fleet.id}"}[kind]
    config = fleet.path / "gdk-config.json"
    if kind == "runtime":
        config.write_text(config.read_text().replace('"--task", "."', f'"--task", ".", "--runtime", "{name}"'))
        fleet.publish("0.1.1")
    model = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": "0.1.2",
        "ComponentConfiguration": {"DefaultConfiguration": {"federation": "f", "round": 1}},
        "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {}}],
    }
    fleet.aws.client("greengrassv2").create_component_version(inlineRecipe=json.dumps(model).encode())
    with fleet.devices():
        refused = fleet.deploy("--yes", "--json")
    assert (refused.status, refused.envelope["error"]["code"]) == (1, "not_published")
    told = refused.envelope["error"]["message"]
    assert told.startswith(f"{name} 0.1.2 is no {kind} of fedgrass")
    assert f"--{kind}-version" in told
    assert fleet.latest() is None


def test_the_command_that_publishes_a_component_names_the_region_that_it_is_looked_for_in(fleet: Fleet) -> None:
    config = fleet.path / "gdk-config.json"
    config.write_text(config.read_text().replace("us-east-1", "eu-west-1"))
    with fleet.devices():
        told = fleet.deploy("--client-version", "7.0.0", "--json").envelope["error"]["message"]
    assert told.endswith("gdk component publish --region us-east-1`")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--thing-group", "", "is no thing group's name"),
        ("--thing-group", "ü b", "is no thing group's name"),
        ("--thing-group", "g" * 129, "is no thing group's name"),
        ("--client-version", "", "is no version"),
        ("--runtime-version", "", "is no version"),
        ("--runtime-version", "v1", "is no version"),
        ("--component", "", "'' is no component's name"),
        ("--component", "ü", "'ü' is no component's name"),
        ("--component", "a" * 129, "is no component's name"),
        ("--component", "=1.0.0", "'' is no component's name"),
        ("--component", "com.example.A=", "'' is no version of com.example.A"),
        ("--component", "com.example.A=1.0", "'1.0' is no version of com.example.A"),
        ("--component", "com.example.A==1.0.0", "'=1.0.0' is no version of com.example.A"),
        ("--component", RUNTIME, f"{RUNTIME} is deployed in any case: leave it out, and give its version by --runtime"),
        ("--role", "", "the account has no role ''"),
        ("--role", "a b", "the account has no role 'a b'"),
        ("--role", "nobodys", "the account has no role 'nobodys'"),
    ],
)
def test_what_nothing_can_be_called_is_refused(fleet: Fleet, option: str, value: str, told: str) -> None:
    with fleet.devices():
        refused = fleet.deploy(option, value, "--yes", "--json")
    assert refused.status == 2
    assert told in refused.envelope["error"]["message"]


def test_another_component_comes_with_the_models_that_it_needs_and_what_is_newer_by_the_same_command(
    fleet: Fleet, tmp_path: Path
) -> None:
    operator, inference, model = Operator(fleet.aws), f"com.example.Infer{fleet.id}", f"com.fedgrass.Model.{fleet.id}"
    needs = {
        model: {"VersionRequirement": "^1.0.0", "DependencyType": "SOFT"},
        RUNTIME: {"VersionRequirement": "<0.1.1"},
    }
    files = {"infer.py": b""}
    operator.publish(inference, "1.0.0", artifacts=files, configuration={"inputs": "/in"}, dependencies=needs)
    config = written(tmp_path / "devices.yaml", f"dataset: /data\n{inference}:\n  inputs: /elsewhere\n")

    def publish_model(version: str) -> None:
        about = Metadata(federation="f", life="", round=1, metrics={}, model=model_component.file_of(version.encode()))
        recipe = model_component.recipe(model, version, about, [f"s3://models/published/{model}/{version}/model.json"])
        fleet.aws.client("s3").create_bucket(Bucket="models")
        fleet.aws.client("s3").put_object(Bucket="models", Key=f"published/{model}/{version}/model.json", Body=b"{}")
        fleet.aws.client("greengrassv2").create_component_version(inlineRecipe=recipe)

    with fleet.devices("a"):
        missing = fleet.deploy("--component", inference, "--yes", "--json")
        assert (missing.status, missing.envelope["error"]["code"]) == (1, "not_published")
        assert f"publish it by `fedgrass publish-model {fleet.id}`" in missing.envelope["error"]["message"]
        publish_model("1.0.0")

        shown = fleet.deploy("--component", inference, "--config", config, "--dry-run", "--json")
        assert shown.status == 0, shown.error
        assert {each["component"]: each["after"] for each in shown.result["versions"]} == {
            fleet.client: "0.1.0",
            inference: "1.0.0",
            model: "1.0.0",
            RUNTIME: "0.1.0",  # what both take
        }
        (statement,) = shown.result["policies"]["fedgrass-components"]["Statement"]
        assert {
            f"arn:aws:s3:::{operator.bucket}/{inference}/*",
            f"arn:aws:s3:::models/published/{model}/*",
        } <= set(statement["Resource"])
        made = fleet.deploy("--component", inference, "--config", config, "--yes", "--json")
        assert made.status == 0, made.error
        update = fleet.latest()["components"][inference]["configurationUpdate"]
        assert json.loads(update["merge"]) == {"inputs": "/elsewhere"}
        assert fleet.merged()["dataset"] == "/data"

        publish_model("1.0.1")
        assert fleet.deploy("--runtime-version", "0.1.0", "--json").result["versions"] == []
        newer = fleet.deploy("--component", inference, "--yes", "--json")
        assert newer.result["versions"] == [{"component": model, "before": "1.0.0", "after": "1.0.1"}]
        back = fleet.deploy("--component", inference, "--component", f"{model}=1.0.0", "--yes", "--json")
        assert back.result["versions"] == [{"component": model, "before": "1.0.1", "after": "1.0.0"}]
    twice = fleet.deploy("--component", inference, "--component", f"{inference}=1.0.0", "--json")
    assert (twice.status, f"{inference} is named twice" in twice.error) == (2, True)
    ours = fleet.deploy("--component", f"{fleet.client}=0.1.0", "--json")
    assert (ours.status, "give its version by --client-version" in ours.error) == (2, True)


def test_a_group_that_is_not_there_is_named(fleet: Fleet) -> None:
    ended = fleet.deploy("--yes", "--json")
    assert (ended.status, ended.envelope["error"]["code"]) == (1, "unknown_thing_group")
    assert fleet.group in ended.error


def test_a_group_is_that_of_the_federation(fleet: Fleet) -> None:
    ended = fedgrass("deploy", "fleet", str(fleet.path), "--yes")
    assert (ended.status, "federation.yaml names no thing_group" in ended.error) == (2, True)
    settings = fleet.path / "federation.yaml"
    settings.write_text(f"{settings.read_text()}\nthing_group: {fleet.group}\n")
    other = fedgrass("deploy", "fleet", str(fleet.path), "--thing-group", "others", "--yes")
    assert (other.status, f"federation.yaml has thing_group {fleet.group}" in other.error) == (2, True)
    with fleet.devices("a"):
        assert fedgrass("deploy", "fleet", str(fleet.path), "--role", ROLE, "--yes").status == 0
        assert fleet.latest() is not None


@pytest.mark.parametrize("rate", ["0/minute", "1001/minute", "5", "5/second", "-1/minute"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    ended = fedgrass("deploy", "fleet", "--rate", rate, "--yes")
    assert (ended.status, "is no rate: write 1/minute to 1000/minute" in ended.error) == (2, True)


def test_a_device_that_fails_is_told_with_its_reason_and_deployed_to_again(fleet: Fleet) -> None:
    with fleet.devices("a", "b") as devices:
        devices.failing = [devices.things[1]]
        ended = fleet.deploy("--yes", "--json")
        assert (ended.status, ended.envelope["error"]["code"]) == (1, "fleet_failed")
        reason = "a component does not start (FAILED_ROLLBACK_COMPLETE: Service com.example.Client in broken state"
        assert f"1 done, 1 failed ({devices.things[1]}: {reason}" in ended.envelope["error"]["message"]
        assert {state["outcome"] for state in ended.result["devices"]} == {"done", "failed"}
        first = fleet.latest()["deploymentId"]

        devices.failing = ()
        again = fleet.deploy("--yes", "--json")
        assert again.status == 0, again.error
        assert f"deployed again, since it has failed on {devices.things[1]}" in again.error
        assert fleet.latest()["deploymentId"] != first
        assert {state["outcome"] for state in again.result["devices"]} == {"done"}


def test_a_canary_that_fails_stops_the_rollout(fleet: Fleet) -> None:
    with fleet.devices("a", "b", "c") as devices:
        assert fleet.deploy("--yes").status == 0
        before = fleet.latest()["deploymentId"]
        fleet.publish("0.1.1")
        devices.failing = devices.things
        ended = fleet.deploy("--canary", "1", "--yes", "--json")
        assert (ended.status, ended.envelope["error"]["code"]) == (1, "fleet_failed")
        assert "of which no others were deployed to" in ended.envelope["error"]["message"]
        assert fleet.latest()["deploymentId"] == before
        assert [len(devices.given[thing]) for thing in devices.things] == [2, 1, 1]

        devices.failing = ()
        mended = fleet.deploy("--canary", "1", "--yes", "--json")
        assert mended.status == 0, mended.error
        assert [state["thing"] for state in mended.result["canary_devices"]] == [devices.things[0]]
        assert [len(devices.given[thing]) for thing in devices.things] == [4, 2, 2]
        canary = fleet.latest(f"{fleet.group}-canary")
        assert canary["parentTargetArn"] == fleet.latest()["targetArn"]
        assert canary["components"] == fleet.latest()["components"]


def test_canaries_that_have_it_are_not_deployed_to_twice(fleet: Fleet) -> None:
    with fleet.devices("a", "b") as devices:
        devices.silent = [devices.things[1]]
        shown = fleet.deploy("--canary", "1", "--dry-run", "--json")
        assert shown.result["canaries"] == [devices.things[0]]
        assert ["parentTargetArn" in document for document in shown.result["documents"]] == [True, False]
        devices.silent = ()
        assert fleet.deploy("--canary", "1", "--yes").status == 0
        fleet.publish("0.1.1")
        assert fleet.deploy("--canary", "2", "--yes").status == 0
        members = fleet.aws.client("iot").list_things_in_thing_group(thingGroupName=f"{fleet.group}-canary")["things"]
        assert sorted(members) == devices.things
        versions = [document["components"][fleet.client]["version"] for document in devices.given[devices.things[1]]]
        assert versions == ["0.1.0", "0.1.1", "0.1.1"]  # what an earlier deployment had for canaries is none of theirs


def test_more_canaries_than_there_can_be_are_refused(fleet: Fleet) -> None:
    with fleet.devices(
        "a", "b", runtime=lambda thing: "aws_nucleus_lite" if thing[0] == "b" else "aws_nucleus_classic"
    ):
        ended = fleet.deploy("--canary", "2", "--yes", "--json")
    assert (ended.status, ended.envelope["error"]["code"]) == (1, "too_few_canaries")
    assert "1 have nucleus lite" in ended.error


def test_a_device_that_is_not_there_gets_it_when_it_comes(fleet: Fleet) -> None:
    with fleet.devices("a") as devices:
        iot = fleet.aws.client("iot")
        iot.create_thing(thingName=f"new-{fleet.id}")
        iot.add_thing_to_thing_group(thingGroupName=fleet.group, thingName=f"new-{fleet.id}")
        made = fleet.deploy("--yes", "--json")
    assert made.status == 0, made.error
    assert [(state["thing"], state["outcome"]) for state in made.result["devices"]] == [
        (devices.things[0], "done"),
        (f"new-{fleet.id}", "absent"),
    ]


class Interrupting:
    """Ends the wait for devices as Ctrl-C does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("operations.fleets.following.time.sleep", interrupt)


def test_what_is_interrupted_goes_on_and_is_followed_by_the_same_command(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fleet.devices("a") as devices:
        devices.silent = devices.things
        with monkeypatch.context() as patched:
            Interrupting(patched)
            ended = fleet.deploy("--yes", "--json")
        assert (ended.status, ended.envelope["error"]["code"]) == (130, "interrupted")
        assert "the same command follows it again" in ended.envelope["error"]["message"]
        deployment = fleet.latest()["deploymentId"]
        devices.silent = ()
        again = fleet.deploy("--json")
        assert (again.status, again.result["changed"]) == (0, False)
        assert [state["outcome"] for state in again.result["devices"]] == ["done"]
        assert again.result["deployment_id"] == deployment


def test_what_takes_longer_than_it_is_followed_is_told_and_goes_on(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fleet.devices("a", "b") as devices:
        devices.silent = devices.things
        monkeypatch.setattr("operations.fleets.following.time.monotonic", iter(range(0, 10**6, 30)).__next__)
        ended = fleet.deploy("--yes", "--json", "--timeout", "1")
    assert (ended.status, ended.envelope["error"]["code"]) == (4, "fleet_unfinished")
    assert "2 waiting" in ended.envelope["error"]["message"]
    assert fleet.latest()["deploymentStatus"] == "ACTIVE"


def test_a_deployment_whose_place_another_takes_is_followed_no_longer(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fleet.devices("a") as devices:
        devices.silent = devices.things

        def replace(_: float) -> None:
            latest = fleet.latest()
            greengrass = fleet.aws.client("greengrassv2")
            greengrass.create_deployment(targetArn=latest["targetArn"], components={})

        monkeypatch.setattr("operations.fleets.following.time.sleep", replace)
        ended = fleet.deploy("--yes", "--json")
    assert (ended.status, ended.envelope["error"]["code"]) == (1, "fleet_failed")
    assert "another deployment has taken the place of this one" in ended.error


def test_a_variable_is_filled_in_by_nuclei_that_are_told_so(fleet: Fleet, tmp_path: Path) -> None:
    config = written(tmp_path / "devices.yaml", 'dataset: "/data/{iot:thingName}"\n')
    with fleet.devices("a", "b") as devices:
        other = CoreDevice(
            thing=devices.things[1],
            nucleus="2.9.0",
            runtime="aws_nucleus_classic",
            platform="linux",
            architecture="amd64",
            reported_at=fleet.aws.greengrass.devices.find(devices.things[0]).reported_at,
        )
        fleet.aws.greengrass.devices.report(other)
        ended = fleet.deploy("--config", config, "--dry-run", "--json")
        assert (ended.status, ended.envelope["error"]["code"]) == (2, "invalid_configuration")
        assert "the devices have 2.14.0, 2.9.0" in ended.error
    lite = Fleet(fleet.aws, tmp_path / "lite")
    with lite.devices("a", runtime=lambda _: "aws_nucleus_lite"):
        assert "which nucleus lite does not fill in: a-" in lite.deploy("--config", config, "--dry-run").error
    alike = Fleet(fleet.aws, tmp_path / "alike")
    with alike.devices("a", "b"):
        shown = alike.deploy("--config", config, "--dry-run", "--json")
        assert shown.status == 0, shown.error
        nucleus = shown.result["documents"][0]["components"]["aws.greengrass.Nucleus"]
        assert nucleus["componentVersion"] == "2.14.0"
        assert json.loads(nucleus["configurationUpdate"]["merge"]) == {"interpolateComponentConfiguration": True}


# ---- Policies


def test_devices_get_the_policies_by_their_group_and_their_role(
    fleet: Fleet, deployed: Deployment, aws: EmbeddedAws
) -> None:
    iot, iam = aws.client("iot"), aws.client("iam")
    with fleet.devices("a"):
        shown = fleet.deploy("--dry-run")
        assert f"to do: thing group {fleet.group} has the IoT policy {deployed.device_iot_policy_name}" in shown.out
        assert f"policy {deployed.device_iot_policy_name}\n{{" in shown.out
        policies = fleet.deploy("--dry-run", "--json").result["policies"]
        actions = [statement["Action"] for policy in policies.values() for statement in policy["Statement"]]
        assert {"iot:Connect", "s3:PutObject", "s3:GetObject"} <= set(actions)
        made = fleet.deploy("--yes", "--json")
    assert made.status == 0, made.error
    assert {step["outcome"] for step in made.result["steps"]} <= {"done", "already so"}
    arn = iot.describe_thing_group(thingGroupName=fleet.group)["thingGroupArn"]
    assert [each["policyName"] for each in iot.list_attached_policies(target=arn)["policies"]] == [
        deployed.device_iot_policy_name
    ]
    attached = iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]
    assert deployed.device_policy_arn in [each["PolicyArn"] for each in attached]
    document = iam.get_role_policy(RoleName=ROLE, PolicyName="fedgrass-components")["PolicyDocument"]
    (statement,) = document["Statement"]
    assert statement["Action"] == "s3:GetObject"
    assert {f"arn:aws:s3:::{BUCKET}/{name}/*" for name in (fleet.client, RUNTIME)} <= set(statement["Resource"])
