"""operations/deployment.py on the embedded AWS: made, found, updated; and that what was deployed is what runs."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError

from cli.planning.forecast import ALARMS
from cloud.state.clients import BY_PLACE
from cloud.state.places import PLACES, window
from cloud.state.records import ClientRecord
from lint.short_forms import ShortForms
from operations import buckets, deployment, packaging
from operations import outlived_tables as tables
from operations.deployment import Deployment, NoStackError
from operations.destruction import DataRemoval, Detachment
from operations.stack_names import UnusableStackNameError, names_of
from operations.stack_steps import Change, DeploymentError
from sandbox.embedded_aws import EmbeddedAws
from sandbox.many_clients import put_clients
from sandbox.polling import eventually
from tests.cloud.simulated import INITIAL, SimulatedFederation, attributes_of

LAYER = packaging.this_machine()

POLICIES = b"""
import numpy as np


def choose_clients(clients, cohort, round_number):
    return [client.thing for client in clients if client.thing != "d1"][:cohort]


def is_complete(round):
    return sum(report.examples for report in round.reports.values()) >= 30


def average(updates, model):
    \"\"\"The median: it takes no notice of one client that is far out.\"\"\"
    deltas = [update.delta for update in updates]
    if len(deltas) == 1:
        raise ValueError("one is not enough")
    return {name: np.median([delta[name] for delta in deltas], axis=0) for name in model}


def next_round_delay(last):
    return 2.0 if last.accepted == 3 and last.number == 1 else 600.0
"""


@pytest.fixture
def again_soon(aws: EmbeddedAws, deployed: Deployment) -> Iterator[None]:
    """What a deployment cuts off comes again soon, of this test or of one before."""
    with contextlib.ExitStack() as stack:
        for queue in (deployed.rounds_queue, deployed.control_queue, deployed.updates_queue):
            stack.enter_context(attributes_of(aws, queue, {"VisibilityTimeout": "10"}))
        yield


def test_a_deployment_is_found_by_its_name(aws: EmbeddedAws, deployed: Deployment) -> None:
    assert deployment.find(aws.client, "fedgrass") == deployed


def test_a_stack_that_is_not_there_is_named(aws: EmbeddedAws) -> None:
    assert deployment.deployed_policies(aws.client, "elsewhere") == {}
    with pytest.raises(NoStackError, match="no stack 'elsewhere'"):
        deployment.find(aws.client, "elsewhere")


@pytest.mark.parametrize("stack", ["UPPER", "a" * 60, "xn--a", "sthree-a", "amzn-s3-demo-a", "ä", "a.b", "-a"])
def test_a_stack_after_which_no_bucket_can_be_named_is_refused_by_name(aws: EmbeddedAws, stack: str) -> None:
    layer = packaging.dependencies(LAYER, packaging.cache_directory())
    told = f"a stack '{stack}' can't be made: the bucket {stack}-code-.*characters"
    with pytest.raises(UnusableStackNameError, match=told):
        deployment.deploy(aws.client, stack, packaging.code({}), layer)


def test_a_stack_whose_bucket_would_be_that_of_another_ones_packages_is_refused(aws: EmbeddedAws) -> None:
    told = r"the bucket fedgrass-code-\d+-us-east-1 would be its own, and it is that of .* stack 'fedgrass'"
    with pytest.raises(UnusableStackNameError, match=told):
        names_of(aws.client, "fedgrass-code")


def test_a_package_that_somebody_has_deleted_is_told_with_what_makes_it_anew(aws: EmbeddedAws) -> None:
    given = {"CodeBucket": "no-such-bucket-of-code", "CodeKey": "code/1.zip"}
    parameters = ", ".join(f'"{name}": {{"Type": "String"}}' for name in given)
    aws.client("cloudformation").create_stack(
        StackName="hollow",
        TemplateBody=f'{{"Parameters": {{{parameters}}}, "Resources": {{"Queue": {{"Type": "AWS::SQS::Queue"}}}}}}',
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
    )
    told = r"code/1\.zip in bucket no-such-bucket-of-code is gone, .* stack hollow were made of: `fedgrass destroy`"
    with pytest.raises(DeploymentError, match=told):
        deployment.deployed_policies(aws.client, "hollow")


def test_what_a_role_may_download_stays_as_long_as_a_stack_of_another_region_has_given_it_its_policy(
    aws: EmbeddedAws,
) -> None:
    iam, role = aws.client("iam"), "shared-token-exchange"
    denied = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}
    anything = json.dumps({"Version": "2012-10-17", "Statement": [denied]})
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=anything)
    iam.put_role_policy(RoleName=role, PolicyName="shared-components", PolicyDocument=anything)
    for name in ("shared-DevicePolicy-HERE", "shared-DevicePolicy-THERE"):
        arn = iam.create_policy(PolicyName=name, PolicyDocument=anything)["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    policy = Change(action="Remove", resource="DevicePolicy", kind="AWS::IAM::ManagedPolicy", name=arn)
    assert [change.name for change in Detachment(aws.client, "shared", [policy]).changes] == [role]
    iam.detach_role_policy(RoleName=role, PolicyArn=arn.replace("THERE", "HERE"))
    taken = [change.name for change in Detachment(aws.client, "shared", [policy]).changes]
    assert taken == [role, f"{role}/shared-components"]


def test_what_another_command_has_removed_meanwhile_is_removed(aws: EmbeddedAws) -> None:
    names = names_of(aws.client, "twice")
    s3: Any = aws.client("s3")
    buckets.make_for_code(s3, names.code_bucket, names.account)
    removal = DataRemoval(aws.client, names, with_models=False)
    buckets.delete(s3, names.code_bucket, names.account)
    told: list[tuple[str, str]] = []
    removal.carry_out(lambda event: told.append((event.resource, event.status)))
    assert told == [(names.code_bucket, "DELETE_COMPLETE")]


def test_a_stack_of_something_else_is_no_deployment(aws: EmbeddedAws) -> None:
    body = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}'
    aws.client("cloudformation").create_stack(StackName="something-else", TemplateBody=body)
    with pytest.raises(
        NoStackError, match=r"'something-else' is not one of fedgrass, or an older one: it has no bucket"
    ):
        deployment.find(aws.client, "something-else")


def template_of(resource: str) -> str:
    """One that takes what is given to fedgrass's, and makes one resource."""
    parameters = "".join(f"  {name}: {{Type: String}}\n" for name in ("CodeBucket", "CodeKey", "DependenciesKey"))
    return f"Parameters:\n{parameters}Resources:\n  Wrong: {{{resource}}}\n"


REFUSED = template_of("Type: AWS::Nothing::AtAll")


def test_what_cloudformation_refuses_is_told(aws: EmbeddedAws) -> None:
    dependencies = packaging.dependencies(LAYER, packaging.cache_directory())
    with pytest.raises(DeploymentError, match=r"stack broken can't be made: .*AWS::Nothing::AtAll"):
        deployment.deploy(aws.client, "broken", packaging.code({}), dependencies, template=REFUSED)


def stored_as_formerly(aws: EmbeddedAws, deployed: Deployment, name: str) -> None:
    """Have a federation's settings as an earlier version has stored them, which called own what is custom now."""
    dynamodb, key = aws.client("dynamodb"), {"federation": {"S": name}}
    item = dynamodb.get_item(TableName=deployed.federations_table, Key=key)["Item"]
    settings = item["settings"]["S"].replace('"custom"', '"own"')
    assert settings.count('"own"') == 4
    dynamodb.put_item(TableName=deployed.federations_table, Item=item | {"settings": {"S": settings}})


@pytest.mark.usefixtures("again_soon")
def test_what_is_deployed_again_keeps_its_data_and_runs_the_new_rules(
    aws: EmbeddedAws, deployed: Deployment, simulated: SimulatedFederation
) -> None:
    dependencies = packaging.dependencies(LAYER, packaging.cache_directory())
    simulated.create(
        ["d0", "d1", "d2", "d3", "d4"],
        rounds=2,
        selection={"policy": "custom", "cohort": 4},
        completion="custom",
        quorum=1,
        averaging={"rule": "custom"},
        pacing={"policy": "custom"},
    )
    stored_as_formerly(aws, deployed, simulated.name)
    simulated.settled()
    code = packaging.code({simulated.name: POLICIES})
    assert deployment.deploy(aws.client, "fedgrass", code, dependencies) == deployed
    assert deployment.deploy(aws.client, "fedgrass", code, dependencies) == deployed  # nothing to do
    assert deployment.deployed_policies(aws.client, "fedgrass") == {simulated.name: POLICIES}

    simulated.start()
    opened = simulated.opened(1)
    assert [member.thing for member in opened.cohort] == ["d0", "d2", "d3", "d4"]
    simulated.answer("d0", 1, value=1.0, examples=5)
    simulated.answer("d2", 1, value=1000.0, examples=5)
    simulated.accepted_count(1, 2)
    simulated.settled()
    assert simulated.round(1).status == "open"  # 10 examples are not enough
    simulated.answer("d3", 1, value=2.0, examples=20)
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted) == ("closed", 3)
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 2)
    assert closed.closed_at is not None
    assert simulated.opened(2).opened_at >= closed.closed_at + 2

    simulated.answer("d0", 2, examples=30)
    aborted = simulated.ended(2)
    assert aborted.reason == "averaging failed: policies.py: average failed: ValueError: one is not enough"
    assert simulated.current()[0] == closed.model


@pytest.mark.usefixtures("again_soon")
def test_alarms_go_where_they_were_told_to_go_until_they_are_told_otherwise(
    aws: EmbeddedAws, deployed: Deployment
) -> None:
    dependencies = packaging.dependencies(LAYER, packaging.cache_directory())

    def heard_by() -> list[list[str]]:
        alarms = aws.client("cloudwatch").describe_alarms(AlarmNamePrefix="fedgrass-")["MetricAlarms"]
        return [alarm["AlarmActions"] for alarm in alarms]

    assert heard_by() == [[]] * ALARMS
    topic = aws.client("sns").create_topic(Name="operators")["TopicArn"]
    for told, heard in (({"AlarmTopic": topic}, [topic]), ({}, [topic]), ({"AlarmTopic": ""}, [])):
        deployment.deploy(aws.client, "fedgrass", packaging.code({}), dependencies, parameters=told)
        assert heard_by() == [heard] * ALARMS


STUCK = """
import pathlib
import threading


def average(updates, model):
    pathlib.Path({mark!r}).touch()
    threading.Event().wait()
"""


@pytest.mark.usefixtures("again_soon")
def test_code_that_is_deployed_in_the_middle_of_a_round_carries_it_on(
    aws: EmbeddedAws, deployed: Deployment, simulated: SimulatedFederation, tmp_path: Path
) -> None:
    dependencies = packaging.dependencies(LAYER, packaging.cache_directory())
    simulated.create(["d0", "d1", "d2"], rounds=1, averaging={"rule": "custom"})
    simulated.start()
    simulated.answer("d0", 1, value=1.0)
    counted = simulated.accepted_count(1, 1)
    simulated.settled()

    mark = tmp_path / "averaging"
    stuck = packaging.code({simulated.name: STUCK.format(mark=str(mark)).encode()})
    assert deployment.deploy(aws.client, "fedgrass", stuck, dependencies) == deployed
    assert simulated.round(1) == counted
    with attributes_of(aws, deployed.updates_queue, {"VisibilityTimeout": "2"}):
        for thing, value in (("d1", 2.0), ("d2", 6.0)):
            simulated.answer(thing, 1, value=value)
        eventually(mark.exists, "the averager to be in the middle of it")
        averaging = simulated.round(1)
        assert (averaging.status, averaging.accepted, averaging.attempts) == ("averaging", 3, 1)

        mended = packaging.code({simulated.name: POLICIES})
        assert deployment.deploy(aws.client, "fedgrass", mended, dependencies) == deployed  # this kills it
        assert simulated.round(1) == averaging
        simulated.set_time(1, "lease_until", time.time())
        simulated.wake()
        closed = simulated.ended(1)
        assert (closed.status, closed.accepted) == ("closed", 3)
        assert closed.attempts > averaging.attempts
        np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 2)
        simulated.settled()


def delete_stack(aws: EmbeddedAws, stack: str) -> None:
    cloudformation = aws.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})


def test_a_stack_that_was_deleted_is_made_again_around_what_it_has_left_and_its_federations_go_on(
    aws: EmbeddedAws, caplog: pytest.LogCaptureFixture
) -> None:
    dependencies = packaging.dependencies(LAYER, packaging.cache_directory())
    s3 = aws.client("s3")
    first = deployment.deploy(aws.client, "again", packaging.code({}), dependencies)
    simulated = SimulatedFederation(aws, first, "going-on")
    simulated.create(["d0", "d1"], rounds=2)
    simulated.start()
    simulated.answer("d0", 1)
    simulated.answer("d1", 1)
    simulated.ended(1)
    opened = simulated.opened(2)
    simulated.answer("d0", 2, value=2.0)
    simulated.accepted_count(2, 1)
    configured = configuration_of(s3, first.bucket)
    caplog.set_level("INFO")
    delete_stack(aws, "again")
    # What a new stack finds, and whatever was done to the bucket since.
    s3.put_bucket_notification_configuration(Bucket=first.bucket, NotificationConfiguration={})
    s3.put_bucket_versioning(Bucket=first.bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_public_access_block(Bucket=first.bucket)

    with pytest.raises(DeploymentError, match="AWS::Nothing::AtAll"):
        deployment.deploy(aws.client, "again", packaging.code({}), dependencies, template=REFUSED)
    assert "stack again takes over what outlived an earlier one: " in caplog.text
    for left in (first.bucket, *tables_of(first)):
        assert left in caplog.text
    assert deployment.deployed_policies(aws.client, "again") == {}

    second = deployment.deploy(aws.client, "again", packaging.code({}), dependencies)
    assert (second.bucket, tables_of(second)) == (first.bucket, tables_of(first))
    assert configuration_of(s3, second.bucket) == configured
    going_on = SimulatedFederation(aws, second, "going-on")
    assert going_on.round(2).opened_at == opened.opened_at
    going_on.answer("d1", 2, value=4.0)
    closed = going_on.ended(2)
    assert (closed.status, closed.accepted) == ("closed", 2)
    np.testing.assert_allclose(going_on.current()[1]["w"], INITIAL["w"] + 1 + 3)
    assert deployment.deploy(aws.client, "again", packaging.code({}), dependencies) == second  # nothing to do

    delete_stack(aws, "again")
    dynamodb = aws.client("dynamodb")
    for table in tables_of(second):
        with pytest.raises(ClientError, match="protected"):
            dynamodb.delete_table(TableName=table)
        dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=table)


def tables_of(deployed: Deployment) -> list[str]:
    return [deployed.federations_table, deployed.clients_table, deployed.rounds_table, deployed.responses_table]


def test_a_table_of_which_two_are_left_is_not_guessed_at(aws: EmbeddedAws) -> None:
    dynamodb = aws.client("dynamodb")
    names = [f"twice-RoundsTable-{suffix}" for suffix in ("0A1B", "2C3D")]
    others = ["twice-RoundsTable-0A1B-backup", "twice-RoundsTable", "not-twice-RoundsTable-4E5F"]
    for name in (*names, *others):
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "federation", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "federation", "KeyType": "HASH"}],
        )
    with pytest.raises(DeploymentError, match=f"its RoundsTable, and there are several: {', '.join(names)}. Delete"):
        tables.outlived(dynamodb, "twice", ("FederationsTable", "RoundsTable"))
    dynamodb.delete_table(TableName=names[1])
    (left,) = tables.outlived(dynamodb, "twice", ("FederationsTable", "RoundsTable"))
    assert left.identifier == {"TableName": names[0]}
    assert tables.outlived(dynamodb, "thrice", ("RoundsTable",)) == []


def test_what_is_left_of_a_table_is_described_as_it_is(aws: EmbeddedAws, deployed: Deployment) -> None:
    dynamodb = aws.client("dynamodb")
    described = {
        one.logical_id: one.properties
        for one in tables.outlived(dynamodb, "fedgrass", ("ClientsTable", "ResponsesTable"))
    }
    template = yaml.load(deployment.TEMPLATE.read_text(), ShortForms)["Resources"]  # noqa: S506 - a safe loader
    for name in ("ClientsTable", "ResponsesTable"):
        written = template[name]["Properties"]
        # What the embedded CloudFormation leaves as it is.
        left_out = {"PointInTimeRecoverySpecification", "TimeToLiveSpecification"}
        assert described[name] == {key: value for key, value in written.items() if key not in left_out}
    expiry = template["ClientsTable"]["Properties"]["TimeToLiveSpecification"]
    dynamodb.update_time_to_live(TableName=deployed.clients_table, TimeToLiveSpecification=expiry)
    (clients,) = tables.outlived(dynamodb, "fedgrass", ("ClientsTable",))
    assert clients.properties["TimeToLiveSpecification"] == expiry


def test_a_stack_of_an_earlier_version_is_brought_up_to_date_with_its_data(aws: EmbeddedAws) -> None:
    """One without log groups, whose tables nothing protected, and whose clients had no places."""
    dependencies = packaging.dependencies(LAYER, packaging.cache_directory())
    earlier = yaml.load(deployment.TEMPLATE.read_text(), ShortForms)  # noqa: S506 - a safe loader
    for name, resource in list(earlier["Resources"].items()):
        if resource["Type"] == "AWS::DynamoDB::Table":
            del resource["DeletionPolicy"], resource["UpdateReplacePolicy"]
            del resource["Properties"]["DeletionProtectionEnabled"]
        elif resource["Type"] == "AWS::Logs::LogGroup":
            del earlier["Resources"][name]
        elif resource["Type"] == "AWS::Serverless::Function":
            del resource["Properties"]["LoggingConfig"]
    clients = earlier["Resources"]["ClientsTable"]["Properties"]
    del clients["GlobalSecondaryIndexes"]
    clients["AttributeDefinitions"] = clients["AttributeDefinitions"][:2]
    for role in ("InitiatorRole", "AveragerRole"):
        (policy,) = earlier["Resources"][role]["Properties"]["Policies"]
        policy["PolicyDocument"]["Statement"] = policy["PolicyDocument"]["Statement"][1:]
    first = deployment.deploy(aws.client, "earlier", packaging.code({}), dependencies, template=json.dumps(earlier))
    simulated = SimulatedFederation(aws, first, "kept")
    simulated.create([], rounds=1)
    simulated.register("d0")
    dynamodb = aws.client("dynamodb")
    of_earlier_version = ClientRecord(federation="kept", thing="d0", last_seen=1.0)
    put_clients(dynamodb, first.clients_table, [of_earlier_version], placed=False)
    logs = aws.client("logs")
    named = {"logGroupName": f"/aws/lambda/{first.initiator}"}  # which Lambda makes when the function first runs
    if not logs.describe_log_groups(logGroupNamePrefix=named["logGroupName"])["logGroups"]:
        logs.create_log_group(**named)

    assert deployment.deploy(aws.client, "earlier", packaging.code({}), dependencies) == first
    clients_in_order = dynamodb.describe_table(TableName=first.clients_table)["Table"]["GlobalSecondaryIndexes"]
    assert [index["IndexName"] for index in clients_in_order] == [BY_PLACE]
    simulated.operations.clients.keep(of_earlier_version)
    assert simulated.operations.clients.within("kept", window(0, PLACES)) == ["d0"]
    for table in tables_of(first):
        assert dynamodb.describe_table(TableName=table)["Table"]["DeletionProtectionEnabled"]
    simulated.start()
    simulated.answer("d0", 1)
    assert simulated.ended(1).status == "closed"
    for function in (first.initiator, first.averager):
        (group,) = logs.describe_log_groups(logGroupNamePrefix=f"/fedgrass/{function}")["logGroups"]
        assert group["retentionInDays"] == 30
        assert logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
    delete_stack(aws, "earlier")


def configuration_of(s3: Any, bucket: str) -> dict[str, Any]:
    """What the template says of the bucket, as S3 has it. (The embedded CloudFormation sets no lifecycle.)"""
    answers = {
        "versioning": s3.get_bucket_versioning(Bucket=bucket)["Status"],
        "public": s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"],
    }
    told = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    filters = [rule["Value"] for one in told for rule in one["Filter"]["Key"]["FilterRules"]]
    return answers | {"notified": sorted({one["QueueArn"] for one in told}), "of": sorted(filters)}


def test_a_stack_that_could_not_be_made_is_made_when_the_cause_is_mended(
    aws: EmbeddedAws, caplog: pytest.LogCaptureFixture
) -> None:
    dependencies = packaging.dependencies(LAYER, packaging.cache_directory())
    clash = template_of("Type: AWS::S3::Bucket, Properties: {BucketName: !Ref CodeBucket}")
    with pytest.raises(DeploymentError, match=r"Wrong: .*mended-code.* already exists"):
        deployment.deploy(aws.client, "mended", packaging.code({}), dependencies, template=clash)
    caplog.set_level("INFO")
    made = deployment.deploy(aws.client, "mended", packaging.code({}), dependencies)
    assert "stack mended is ROLLBACK_COMPLETE: an earlier try to make it" in caplog.text
    assert made == deployment.find(aws.client, "mended")
    delete_stack(aws, "mended")


class _Nothing:
    """The body of an answer to a HEAD."""

    def stream(self) -> Iterator[bytes]:
        return iter(())


@pytest.mark.parametrize("bucket", ["foreign-code-000000000000-us-east-1", "foreign-000000000000-us-east-1"])
def test_a_bucket_of_another_account_is_neither_used_nor_taken_over(aws: EmbeddedAws, bucket: str) -> None:
    s3 = aws.session().client("s3", endpoint_url=aws.endpoint)
    account = aws.client("sts").get_caller_identity()["Account"]
    bucket = bucket.replace("000000000000", account)
    written: list[str] = []

    def answer(request: Any, **_: Any) -> Any:
        if request.method == "HEAD" and f"/{bucket}" in request.url:
            assert request.headers["x-amz-expected-bucket-owner"] == account.encode()
            return AWSResponse(request.url, 403, HTTPHeaders(), _Nothing())
        if request.method == "PUT":
            written.append(request.url)
        return None

    s3.meta.events.register("before-send.s3", answer)

    def client(service: str) -> Any:
        return s3 if service == "s3" else aws.client(service)

    layer = packaging.dependencies(LAYER, packaging.cache_directory())
    with pytest.raises(DeploymentError, match=f"bucket {bucket} is another account's"):
        deployment.deploy(client, "foreign", packaging.code({}), layer)
    assert not [url for url in written if f"/{bucket}" in url]
    with pytest.raises(NoStackError, match="no stack 'foreign'"):
        deployment.find(aws.client, "foreign")
