"""operations/doctoring/: each thing that has to hold is broken on the embedded AWS, and found, with what mends it."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError

from cloud.state.clients import ClientHistory
from components.client.agent.conditions import Conditions, unmet
from components.client.agent.state_machine import WITHDRAWN
from fedgrass.task import DeviceState
from operations import deployment, packaging
from operations.deployment import Deployment
from operations.doctoring import account, components, device, examination, groups, permissions, progress, stack
from operations.doctoring.case import Case, Patient
from operations.doctoring.finding import Finding, NotCheckedError, Observation
from operations.doctoring.groups import Group
from protocol import names
from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus.credentials import ROLE_NAME, TokenExchangeRole
from sandbox.polling import eventually
from sandbox.provisioning import register
from tests.cloud.simulated import SimulatedFederation, invoke
from tests.operations.core_devices import report


@pytest.fixture
def case(aws: EmbeddedAws, deployed: Deployment) -> Case:
    return Case(aws.client, deployed.stack, time.time())


@pytest.fixture
def case_later(aws: EmbeddedAws, deployed: Deployment) -> Callable[[float], Case]:
    """The same some seconds later."""
    return lambda seconds: Case(aws.client, deployed.stack, time.time() + seconds)


@pytest.fixture
def role(aws: EmbeddedAws, deployed: Deployment) -> Iterator[str]:
    """A token exchange role, as the sandbox makes it."""
    iam = aws.client("iam")
    TokenExchangeRole(iam, aws.client("sts"), deployed.device_policy_arn)
    yield ROLE_NAME
    iam.detach_role_policy(RoleName=ROLE_NAME, PolicyArn=deployed.device_policy_arn)


@pytest.fixture
def group(aws: EmbeddedAws) -> str:
    return f"meadow-{uuid4().hex[:8]}"


@pytest.fixture
def thing(aws: EmbeddedAws, deployed: Deployment, group: str, tmp_path: Path) -> str:
    """A device with a certificate that has the policy, in the group."""
    name = f"pi-{uuid4().hex[:8]}"
    register(aws.client("iot"), [name], group, deployed.device_iot_policy_name, tmp_path)
    return name


@pytest.fixture
def client(simulated: SimulatedFederation, thing: str, group: str) -> str:
    """A device that is a client of a federation whose only round is open."""
    simulated.create([], rounds=1, thing_group=group)
    simulated.greet(thing)
    simulated.start()
    simulated.opened(1)
    return thing


def only(observations: Iterator[Observation]) -> Observation:
    (found,) = observations
    return found


def states(observations: Iterator[Observation]) -> list[str]:
    return [found.state for found in observations]


# ---- The account


def test_this_machines_way_to_aws_is_looked_at(case: Case) -> None:
    assert only(account.credentials(case)).text.startswith("account 000000000000 in us-east-1, as arn:aws:iam::")
    assert only(account.endpoints(case)).state == "ok"
    assert only(account.clock(case)).state == "ok"


def test_a_clock_that_is_wrong_is_found_whichever_way(case_later: Callable[[float], Case]) -> None:
    fast, slow = (only(account.clock(case_later(seconds))) for seconds in (600, -600))
    assert fast.state == slow.state == "wrong"
    assert fast.text.startswith("the clock of this machine is ")
    assert fast.text.endswith("fast")
    assert slow.text.endswith("slow")
    assert fast.remedy == "on this machine: sudo timedatectl set-ntp true"


def test_an_endpoint_that_nobody_listens_at_is_found() -> None:
    found = only(account.reached({("127.0.0.1", 9): "s3"}))
    assert found.state == "wrong"
    assert found.text.startswith("s3 at 127.0.0.1:9: ")


def test_behind_a_proxy_no_endpoint_is_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert only(account.reached({("s3.example.com", 443): "s3"})).state == "not checked"
    assert only(account.reached({("127.0.0.1", 9): "s3"})).state == "wrong"


# ---- The stack


def test_a_stack_that_is_not_there_is_found_and_what_needs_it_is_not_checked(aws: EmbeddedAws) -> None:
    found = {finding.check: finding for finding in examination.examine(Case(aws.client, "nothing", time.time()))}
    assert (found["deployed"].state, found["deployed"].remedy) == ("wrong", "fedgrass deploy cloud --stack nothing")
    for check in ("version", "functions", "errors", "dead_letters", "alarms", "role_policy", "federations"):
        assert found[check].state == "not checked", check


def test_a_stack_of_something_else_is_not_to_be_deployed_to(aws: EmbeddedAws) -> None:
    body = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}'
    aws.client("cloudformation").create_stack(StackName="somebody-elses", TemplateBody=body)
    found = only(stack.deployed(Case(aws.client, "somebody-elses", time.time())))
    assert (found.state, found.text) == (
        "wrong",
        "stack somebody-elses is not one of fedgrass, it has Queue: name another by --stack",
    )
    assert "deploy cloud" not in found.remedy


def test_what_somebody_has_deleted_of_a_stack_is_found(case: Case, deployed: Deployment) -> None:
    assert only(stack.resources(case)).state == "ok"
    gone = {
        "bucket": "no-such-bucket",
        "clients_table": "no-such-table",
        "updates_queue": f"{deployed.updates_queue}-gone",
        "averager": "no-such-function",
    }
    case.__dict__["deployment"] = msgspec.structs.replace(deployed, **gone)
    found = only(stack.resources(case))
    assert (found.state, found.remedy) == ("wrong", "fedgrass destroy && fedgrass deploy cloud")
    queue = gone["updates_queue"].rpartition("/")[2]
    assert f"deleted no-such-bucket, no-such-table, {queue}, no-such-function;" in found.text


def test_functions_and_a_template_of_another_version_are_found(aws: EmbeddedAws, deployed: Deployment) -> None:
    dependencies = packaging.dependencies(packaging.this_machine(), packaging.cache_directory())
    other = io.BytesIO(packaging.code({}))
    with zipfile.ZipFile(other, "a") as archive:
        archive.writestr("cloud/more.py", "")
    name = f"older-{uuid4().hex[:6]}"
    deployment.deploy(aws.client, name, other.getvalue(), dependencies)
    found = only(stack.version(Case(aws.client, name, time.time())))
    assert found == Observation(
        "wrong", "the functions are of another version than this fedgrass", f"fedgrass deploy cloud --stack {name}"
    )
    template = deployment.TEMPLATE.read_text() + "\n# another\n"
    deployment.deploy(aws.client, name, packaging.code({}), dependencies, template=template)
    found = only(stack.version(Case(aws.client, name, time.time())))
    assert found.text == "the template is of another version than this fedgrass"
    assert only(stack.version(Case(aws.client, deployed.stack, time.time()))).state == "ok"


def test_functions_that_lambda_runs_are_well(case: Case) -> None:
    assert states(stack.functions(case)) == ["ok", "ok"]


def test_an_error_that_a_function_logs_is_found_with_its_cause(
    case: Case, aws: EmbeddedAws, deployed: Deployment
) -> None:
    record = {"messageId": "m", "body": '{"kind": "no such kind"}', "attributes": {"ApproximateReceiveCount": "1"}}
    invoke(aws, deployed.initiator, {"Records": [record]})

    def found() -> Observation | None:
        return next((one for one in stack.errors(case) if one.text.startswith("the initiator has logged")), None)

    error = eventually(found, "the error in the log")
    assert error.state == "wrong"
    assert "message m failed" in error.text
    assert "InvalidMessageError: not a valid OpenRound" in error.text.partition("message m failed")[2]
    assert error.remedy == "aws logs tail /fedgrass/fedgrass-initiator --since 1d"


def test_a_message_that_was_given_up_is_found(case: Case, aws: EmbeddedAws) -> None:
    sqs, queue = aws.client("sqs"), case.resource("UpdatesDeadLetters")
    sqs.purge_queue(QueueUrl=queue)
    sqs.send_message(QueueUrl=queue, MessageBody="{}")
    updates, _ = stack.dead_letters(case)
    assert (updates.state, updates.text[:24]) == ("wrong", "UpdatesDeadLetters has 1")
    assert "aws sqs start-message-move-task --source-arn arn:aws:sqs:" in updates.remedy
    sqs.purge_queue(QueueUrl=queue)
    assert states(stack.dead_letters(case))[0] == "ok"


def test_an_alarm_that_rings_is_found(case: Case, aws: EmbeddedAws) -> None:
    cloudwatch, alarm = aws.client("cloudwatch"), case.resource("AbortsAlarm")
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    found = only(stack.alarms(case))
    assert (found.state, "A round has ended without a model" in found.text) == ("wrong", True)
    assert found.remedy == f"aws cloudwatch describe-alarm-history --alarm-name {alarm}"
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="a test")
    assert only(stack.alarms(case)).state == "ok"


def test_federations_that_wait_or_stand_still_are_found(
    case_later: Callable[[float], Case], simulated: SimulatedFederation
) -> None:
    def of_this(where: Case) -> Observation:
        return next(one for one in stack.federations(where) if one.text.startswith(f"{simulated.name} "))

    simulated.create(["d0"], rounds=3, deadline_s=600.0, pacing={"policy": "fixed_rate", "interval_s": 3600.0})
    assert of_this(case_later(0)).state == "ok"
    simulated.operations.federations.change_status(simulated.name, "running", ("ready",))
    assert of_this(case_later(0)).state == "not checked"
    simulated.start()
    simulated.opened(1)
    assert of_this(case_later(600)).state == "ok"
    still = of_this(case_later(86_400))  # the deadline is long past
    assert (still.state, still.remedy) == ("wrong", f"fedgrass logs {simulated.name}")
    simulated.answer("d0", 1)
    simulated.ended(1)
    assert of_this(case_later(3600)).state == "ok"  # it is to open in an hour
    assert of_this(case_later(86_400)).state == "wrong"
    simulated.operations.federations.set_waiting(simulated.name, True)
    waiting = of_this(case_later(0))
    assert (waiting.state, waiting.remedy) == ("wrong", f"fedgrass clients {simulated.name}")


# ---- What devices may do


def test_a_role_without_the_policy_is_found(nowhere: None, case: Case, deployed: Deployment) -> None:
    found = only(permissions.role_policy(case))
    attach = "aws iam attach-role-policy --role-name GreengrassV2TokenExchangeRole --policy-arn "
    assert (found.state, found.remedy) == ("wrong", attach + deployed.device_policy_arn)
    assert states(permissions.role_trust(case)) == states(permissions.role_alias(case)) == ["not checked"]


def test_a_role_that_aws_iot_can_not_hand_out_is_found(case: Case, aws: EmbeddedAws, role: str) -> None:
    assert only(permissions.role_policy(case)).state == "ok"
    assert only(permissions.role_trust(case)).state == "ok"
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    iam = aws.client("iam")
    before = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(document))
    found = only(permissions.role_trust(case))
    assert found.state == "wrong"
    assert found.remedy.startswith(f"aws iam update-assume-role-policy --role-name {role} --policy-document '")
    mended = json.loads(found.remedy.split("'")[1])
    assert permissions.trusts_devices(mended)
    iam.update_assume_role_policy(
        RoleName=role, PolicyDocument=before if isinstance(before, str) else json.dumps(before)
    )


@pytest.mark.parametrize(
    ("statement", "trusted"),
    [
        (
            {"Effect": "Allow", "Principal": {"Service": ["a", "credentials.iot.amazonaws.com"]}, "Action": "sts:*"},
            True,
        ),
        ({"Effect": "Deny", "Principal": {"Service": "credentials.iot.amazonaws.com"}, "Action": "sts:*"}, False),
        ({"Effect": "Allow", "Principal": {"Service": "credentials.iot.amazonaws.com"}, "Action": "s3:*"}, False),
        ({"Effect": "Allow", "Principal": "*", "Action": ["sts:AssumeRole"]}, False),
    ],
)
def test_a_trust_is_one_of_the_credentials_provider(statement: Mapping[str, Any], *, trusted: bool) -> None:
    assert permissions.trusts_devices({"Statement": [statement]}) is trusted
    assert permissions.trusts_devices({"Statement": statement}) is trusted


def test_a_policy_that_nothing_has_is_found(aws: EmbeddedAws, deployed: Deployment, thing: str, case: Case) -> None:
    iot, name = aws.client("iot"), deployed.device_iot_policy_name
    assert only(permissions.device_iot_policy(case)).state == "ok"
    targets = iot.list_targets_for_policy(policyName=name)["targets"]
    for target in targets:
        iot.detach_policy(policyName=name, target=target)
    found = only(permissions.device_iot_policy(case))
    assert (found.state, f"aws iot attach-policy --policy-name {name} " in found.remedy) == ("wrong", True)
    for target in targets:
        iot.attach_policy(policyName=name, target=target)


# ---- A thing group


def test_a_group_that_is_missing_or_empty_is_found(case: Case, aws: EmbeddedAws, group: str) -> None:
    missing = only(groups.members(Group(case, group)))
    assert (missing.state, missing.remedy) == ("wrong", f"aws iot create-thing-group --thing-group-name {group}")
    with pytest.raises(NotCheckedError, match="no such thing group"):
        list(groups.group_deployment(Group(case, group)))
    aws.client("iot").create_thing_group(thingGroupName=group)
    empty = only(groups.members(Group(case, group)))
    assert (empty.state, "add-thing-to-thing-group" in empty.remedy) == ("wrong", True)


def test_of_a_group_what_is_well_is_told_once_and_what_is_wrong_by_device(
    case: Case, aws: EmbeddedAws, deployed: Deployment, group: str, tmp_path: Path
) -> None:
    things = [f"{group}-{number}" for number in range(3)]
    register(aws.client("iot"), things, group, deployed.device_iot_policy_name, tmp_path)
    (arn,) = Patient(case, things[1]).certificates
    aws.client("iot").detach_policy(policyName=deployed.device_iot_policy_name, target=arn)
    found = [finding for finding in examination.examine(case, group=group) if finding.check == "iot_policy"]
    assert [(finding.about, finding.state, finding.text[:6]) for finding in found] == [
        (things[1], "wrong", "its ce"),
        (f"thing group {group}", "ok", "with 2"),
    ]
    (members,) = [finding for finding in examination.examine(case, group=group) if finding.check == "members"]
    assert (members.state, members.text) == ("ok", "it has 3 things")


# ---- A device


def test_a_device_with_all_it_needs_is_well(
    aws: EmbeddedAws, case: Case, client: str, simulated: SimulatedFederation
) -> None:
    simulated.report_progress(client, 1, "training")
    report(aws, client, client="RUNNING", runtime="FINISHED")
    found = [one for one in examination.examine(case, thing=client) if one.about == client]
    assert [finding for finding in found if finding.state == "wrong"] == []
    well = {finding.check for finding in found if finding.state == "ok"}
    assert well >= {"registered", "certificate", "iot_policy", "membership", "hello", "shadow", "device_clock"}


def test_a_thing_that_is_not_there_is_found(case: Case) -> None:
    found = only(device.registered(Patient(case, "nobody")))
    assert (found.state, found.remedy) == ("wrong", "aws iot create-thing --thing-name nobody")


def test_a_certificate_that_is_inactive_or_missing_is_found(case: Case, aws: EmbeddedAws, thing: str) -> None:
    iot = aws.client("iot")
    (arn,) = Patient(case, thing).certificates
    certificate = arn.rpartition("/")[2]
    iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
    inactive = only(device.certificate(Patient(case, thing)))
    activate = f"aws iot update-certificate --certificate-id {certificate} --new-status ACTIVE"
    assert (inactive.state, inactive.remedy) == ("wrong", activate)
    iot.detach_thing_principal(thingName=thing, principal=arn)
    missing = only(device.certificate(Patient(case, thing)))
    assert (missing.state, "aws iot attach-thing-principal" in missing.remedy) == ("wrong", True)
    assert states(device.iot_policy(Patient(case, thing))) == ["not checked"]


def test_a_certificate_without_the_policy_is_found_unless_a_group_has_it(
    case: Case, aws: EmbeddedAws, deployed: Deployment, thing: str, group: str
) -> None:
    iot, name = aws.client("iot"), deployed.device_iot_policy_name
    (arn,) = Patient(case, thing).certificates
    assert states(device.iot_policy(Patient(case, thing))) == ["ok"]
    iot.detach_policy(policyName=name, target=arn)
    found = only(device.iot_policy(Patient(case, thing)))
    assert (found.state, found.remedy) == ("wrong", f"aws iot attach-policy --policy-name {name} --target {arn}")
    iot.attach_policy(policyName=name, target=Patient(case, thing).groups[group])
    assert states(device.iot_policy(Patient(case, thing))) == ["ok"]


def test_a_device_that_has_left_its_group_or_was_expelled_is_found(
    case: Case, aws: EmbeddedAws, client: str, group: str, simulated: SimulatedFederation
) -> None:
    def found() -> Observation:
        return next(
            one
            for one in device.membership(Patient(Case(case.client, case.stack, case.now), client))
            if simulated.name in one.text
        )

    assert found().state == "ok"
    aws.client("iot").remove_thing_from_thing_group(thingGroupName=group, thingName=client)
    left = found()
    add = f"aws iot add-thing-to-thing-group --thing-group-name {group} --thing-name {client}"
    assert (left.state, left.remedy) == ("wrong", add)
    simulated.expel(client)
    expelled = found()
    remedy = f"fedgrass readmit {client} --federation {simulated.name}"
    assert (expelled.state, expelled.remedy) == ("wrong", remedy)


def test_a_device_that_has_never_said_hello_is_found(case: Case, thing: str) -> None:
    found = only(progress.hello(Patient(case, thing)))
    assert (found.state, found.text) == ("wrong", "it has said hello to no federation of the stack")


def test_a_device_that_misses_rounds_is_found_with_its_last_reason(
    case: Case, client: str, simulated: SimulatedFederation
) -> None:
    history = ClientHistory(thing=client, turnaround_s=None, missed=3, last_round=3, last_reason="failed: disk full")
    simulated.operations.clients.record_histories(simulated.name, [history])
    found = only(progress.hello(Patient(case, client)))
    assert (found.state, "missed 3 rounds" in found.text) == ("wrong", True)
    assert found.text.endswith("failed: disk full")
    assert found.remedy == f"fedgrass logs {simulated.name} --thing {client}"


def test_what_a_device_says_of_its_round_is_told(
    case: Case, case_later: Callable[[float], Case], client: str, simulated: SimulatedFederation
) -> None:
    told = only(progress.shadow(Patient(case, client)))
    assert (told.state, f"was told of round 1 of {simulated.name}" in told.text) == ("ok", True)
    silent = only(progress.shadow(Patient(case_later(1000), client)))
    assert (silent.state, "has not heard of round 1" in silent.text) == ("wrong", True)
    simulated.report_progress(client, 1, "accepted", "waiting: 81 °C")
    assert only(progress.shadow(Patient(case_later(1000), client))).text.endswith("accepted: waiting: 81 °C")
    simulated.report_progress(client, 1, "failed", "out of memory")
    failed = only(progress.shadow(Patient(case, client)))
    assert (failed.state, failed.text) == ("wrong", f"round 1 of {simulated.name}: failed: out of memory")


@pytest.mark.parametrize(
    ("device", "state"),
    [
        ({"local_time": datetime(2026, 7, 1, 14, tzinfo=UTC)}, "ok"),
        ({"temperature_c": 81.0}, "ok"),
        ({"battery_percent": 10.0, "on_mains": False}, "ok"),
        ({"temperature_c": None}, "wrong"),
        ({"disk_available_bytes": 0}, "wrong"),
    ],
)
def test_a_device_that_declines_while_a_condition_does_not_hold_is_well_unless_that_can_not_pass(
    case: Case, client: str, simulated: SimulatedFederation, device: dict[str, Any], state: str
) -> None:
    conditions = Conditions(hours="22:00-06:00", max_temperature_c=70, min_battery_percent=20, min_disk_mb=100)
    ready = DeviceState(
        local_time=datetime(2026, 7, 1, 23, tzinfo=UTC),
        load=0.0,
        cpu_count=4,
        memory_available_bytes=10**9,
        disk_available_bytes=10**9,
        temperature_c=60.0,
    )
    assert unmet(conditions, ready) is None
    wanting = unmet(conditions, msgspec.structs.replace(ready, **device))
    assert wanting is not None
    simulated.report_progress(client, 1, "declined", wanting.reason)
    found = only(progress.shadow(Patient(case, client)))
    assert (found.state, found.text.endswith(wanting.reason)) == (state, True)


def test_a_device_that_has_left_a_round_which_ended_or_is_not_ready_itself_is_well(
    case: Case, client: str, simulated: SimulatedFederation
) -> None:
    for reason, state in ((WITHDRAWN, "ok"), ("not ready, says the task", "ok"), ("dataset /data is empty", "wrong")):
        simulated.report_progress(client, 1, "declined", reason)
        assert only(progress.shadow(Patient(case, client))).state == state


def test_a_shadow_that_a_device_has_filled_with_something_else_is_found(
    case: Case, client: str, simulated: SimulatedFederation
) -> None:
    simulated.aws.client("iot-data").update_thing_shadow(
        thingName=client,
        shadowName=names.shadow_name(simulated.name),
        payload=json.dumps({"state": {"reported": {"progress": {"round": "first"}}}}).encode(),
    )
    found = only(progress.shadow(Patient(case, client)))
    assert (found.state, "can't be read: Expected `int`" in found.text) == ("wrong", True)
    assert found.remedy == f"fedgrass forget {simulated.name} {client}"
    with pytest.raises(NotCheckedError):
        list(progress.device_clock(Patient(case, client)))


@pytest.mark.parametrize(("fast_s", "state"), [(0, "ok"), (3600, "wrong"), (-3600, "ok"), (-40 * 86_400, "wrong")])
def test_a_devices_clock_is_compared_with_the_clouds(
    case: Case, client: str, simulated: SimulatedFederation, fast_s: float, state: str
) -> None:
    said = {"round": 1, "life": simulated.life, "phase": "training", "at": time.time() + fast_s}
    simulated.aws.client("iot-data").update_thing_shadow(
        thingName=client,
        shadowName=names.shadow_name(simulated.name),
        payload=json.dumps({"state": {"reported": {"progress": said}}}).encode(),
    )
    found = only(progress.device_clock(Patient(case, client)))
    assert found.state == state
    assert client in found.text


# ---- What can't be asked


def test_of_a_thing_that_is_not_there_it_is_said_so_and_not_that_aws_does_not_answer(case: Case) -> None:
    found = [each for each in examination.examine(case, thing="pi-of-nobody") if each.about == "pi-of-nobody"]
    assert {each.state for each in found} <= {"wrong", "not checked"}
    assert any(each.text.startswith("what this asks for is not there: ") for each in found)
    assert not [each for each in found if "gives no answer" in each.text]


def test_what_aws_refuses_to_tell_is_not_checked_and_the_rest_is(aws: EmbeddedAws, deployed: Deployment) -> None:
    iam, user = aws.client("iam"), f"operator-{uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["sts:*", "cloudformation:*"], "Resource": "*"}],
    }
    iam.put_user_policy(UserName=user, PolicyName="little", PolicyDocument=json.dumps(document))

    def client(service: str) -> Any:
        session: Any = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=aws.region)
        return session.client(service, endpoint_url=aws.endpoint)

    found: dict[str, list[Finding]] = {}
    for finding in examination.examine(Case(client, deployed.stack, time.time()), thing="pi-7"):
        found.setdefault(finding.check, []).append(finding)
    assert found["deployed"][0].state == "ok"
    for check in ("alarms", "role_policy", "registered", "certificate"):
        assert [finding.state for finding in found[check]] == ["not checked"], check
        assert "AccessDenied" in found[check][0].text or "not authorized" in found[check][0].text


def test_whose_credentials_are_nobodys_is_told_nothing(aws: EmbeddedAws) -> None:
    def client(service: str) -> Any:
        session: Any = boto3.Session("AKIANOBODY", "secret", region_name=aws.region)
        return session.client(service, endpoint_url=aws.endpoint)

    with pytest.raises(ClientError):
        list(examination.examine(Case(client, "fedgrass", time.time())))


def test_every_check_has_a_name_of_its_own_and_says_what_has_to_hold() -> None:
    every = (*examination.OF_ACCOUNT, *examination.OF_STACK, *examination.OF_GROUP, *examination.OF_DEVICE)
    assert len({check.__name__ for check in every}) == len(every)
    assert all((check.__doc__ or "").endswith(".") for check in every)
    assert components.components in every
