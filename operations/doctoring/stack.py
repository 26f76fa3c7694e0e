"""Checks of a stack: it is there, is this version's, and does its work."""

import datetime
import hashlib
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from botocore.exceptions import ClientError

from cloud.state.lifecycle import is_stalled
from cloud.state.records import CorruptRecordError, FederationRecord
from cloud.state.rounds import UnknownRoundError
from operations import deployment, packaging, stacks
from operations.doctoring.answers import is_not_there
from operations.doctoring.case import Case
from operations.doctoring.finding import NotCheckedError, Observation, not_checked, ok, wrong
from operations.function_logs import errors_of
from operations.pages import listed
from operations.stack_names import names_of
from operations.stack_steps import DeploymentError

_DAY_S = 86_400
_STALLED_S = 600.0
"""Two wake-ups: by then what should be open is, if it can be."""

_DEAD_LETTERS = ("UpdatesDeadLetters", "RoundsDeadLetters")


def deployed(case: Case) -> Iterator[Observation]:
    """CloudFormation has the stack, whole."""
    deploy = case.command("deploy cloud")
    if case.description is None:
        yield wrong(f"there is no stack {case.stack}", deploy)
        return
    status = case.description["StackStatus"]
    if not status.endswith("_COMPLETE") or status.startswith(("ROLLBACK", "DELETE")):
        yield wrong(f"it is {status}", deploy)
        return
    try:
        stacks.check_own(case.client("cloudformation"), case.stack, case.stack, deployment.OUTLIVES)
    except DeploymentError as error:
        yield wrong(str(error), "aws cloudformation describe-stacks --query 'Stacks[].StackName'")
        return
    try:
        _ = case.deployment
    except NotCheckedError:
        yield wrong("it is of an earlier version: it lacks outputs", deploy)
        return
    yield ok(f"it is {status}")


def resources(case: Case) -> Iterator[Observation]:
    """What CloudFormation has made is there: it never looks whether somebody has deleted it since."""
    deployed, names = case.deployment, names_of(case.client, case.stack)
    s3, dynamodb, sqs = case.client("s3"), case.client("dynamodb"), case.client("sqs")
    outputs = msgspec.structs.asdict(deployed)
    tables = [value for output, value in outputs.items() if output.endswith("_table")]
    queues = [value for output, value in outputs.items() if output.endswith("_queue")]
    looking: list[tuple[str, Callable[[], object]]] = [
        *((name, partial(s3.head_bucket, Bucket=name)) for name in (deployed.bucket, names.code_bucket)),
        *((name, partial(dynamodb.describe_table, TableName=name)) for name in tables),
        *(
            (url.rpartition("/")[2], partial(sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["QueueArn"]))
            for url in queues
        ),
        *(
            (name, partial(case.client("lambda").get_function_configuration, FunctionName=name))
            for name in (deployed.initiator, deployed.averager)
        ),
    ]
    gone = [name for name, look in looking if _is_gone(look)]
    if gone:
        anew = f"{case.command('destroy')} && {case.command('deploy cloud')}"
        yield wrong(f"somebody has deleted {', '.join(gone)}; deploy the fleet again after that", anew)
    else:
        yield ok(f"all {len(looking)} buckets, tables, queues and functions are there")


def _is_gone(look: Callable[[], object]) -> bool:
    try:
        look()
    except ClientError as error:
        if is_not_there(error):
            return True
        raise
    return False


def version(case: Case) -> Iterator[Observation]:
    """The functions and the template are those of this fedgrass."""
    _ = case.deployment
    deploy = case.command("deploy cloud")
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in case.description.get("Parameters", [])}
    policies = deployment.deployed_policies(case.client, case.stack)
    own = hashlib.sha256(packaging.code(policies)).hexdigest()
    if own not in parameters.get("CodeKey", ""):
        yield wrong("the functions are of another version than this fedgrass", deploy)
        return
    found = case.client("cloudformation").get_template(StackName=case.stack, TemplateStage="Original")["TemplateBody"]
    if isinstance(found, str) and found.strip() != deployment.TEMPLATE.read_text().strip():
        yield wrong("the template is of another version than this fedgrass", deploy)
        return
    yield ok("the functions are of the version of this fedgrass")


def functions(case: Case) -> Iterator[Observation]:
    """Lambda would run them."""
    for name in (case.deployment.initiator, case.deployment.averager):
        found = case.client("lambda").get_function_configuration(FunctionName=name)
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        if state in ("Active", "Inactive") and update == "Successful":
            yield ok(f"{name} is {state}")
        else:
            reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or "no reason is told"
            deploy = case.command("deploy cloud")
            yield wrong(f"{name} is {state}, its last update {update}: {reason}", deploy)


def errors(case: Case) -> Iterator[Observation]:
    """The functions have logged no error for a day, or since the stack was brought up to date."""
    _ = case.deployment
    changed = case.description.get("LastUpdatedTime") or case.description["CreationTime"]
    since, found = max(case.now - _DAY_S, changed.timestamp()), 0
    for function in ("initiator", "averager"):
        logged = list(errors_of(case.client("logs"), case.stack, function, since))
        found += len(logged)
        if logged:
            last = logged[-1]
            at = datetime.datetime.fromtimestamp(last.at, datetime.UTC)
            cause = last.trace.rpartition("\n")[2] if last.trace else ""
            yield wrong(
                f"the {function} has logged {len(logged)}, the last one at {at:%F %T}: {last.text} {cause}".rstrip(),
                f"aws logs tail /fedgrass/{case.stack}-{function} --since 1d",
            )
    if not found:
        yield ok("none in the functions' logs of a day")


def dead_letters(case: Case) -> Iterator[Observation]:
    """No message was given up."""
    _ = case.deployment
    for logical_id in _DEAD_LETTERS:
        queue = case.resource(logical_id)
        wanted = ["ApproximateNumberOfMessages", "QueueArn"]
        found = case.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=wanted)["Attributes"]
        if count := int(found["ApproximateNumberOfMessages"]):
            yield wrong(
                f"{logical_id} has {count} that could not be handled in five attempts",
                f"mend what the errors name, then: aws sqs start-message-move-task --source-arn {found['QueueArn']}",
            )
        else:
            yield ok(f"{logical_id} is empty")


def alarms(case: Case) -> Iterator[Observation]:
    """None rings."""
    _ = case.deployment
    named = f"{case.stack}-"
    every = list(listed(case.client("cloudwatch"), "describe_alarms", "MetricAlarms", AlarmNamePrefix=named))
    ringing = [alarm for alarm in every if alarm["StateValue"] == "ALARM"]
    for alarm in ringing:
        show = f"aws cloudwatch describe-alarm-history --alarm-name {alarm['AlarmName']}"
        yield wrong(f"{alarm['AlarmName']} rings: {alarm.get('AlarmDescription', '')}", show)
    if not ringing:
        yield ok(f"none of {len(every)} rings")


def federations(case: Case) -> Iterator[Observation]:
    """Each that runs goes on."""
    for record in case.federations:
        name = record.federation
        if record.waiting:
            yield wrong(f"{name} waits for clients: too few have said hello", case.command(f"clients {name}"))
            continue
        try:
            is_still = _stands_still(case, record)
        except CorruptRecordError as error:
            yield wrong(f"the round of {name} can't be read: {error}", case.command("deploy cloud"))
            continue
        if is_still:
            yield wrong(f"{name} stands still: nobody opens or ends its round", case.command(f"logs {name}"))
        elif is_still is None:
            yield not_checked(f"{name} is to open its first round, nobody knows since when: look again in some minutes")
        else:
            yield ok(f"{name} is {record.status}, at round {record.round} of {record.settings.rounds}")
    if not case.federations:
        yield not_checked("the stack has no federation yet")


def _stands_still(case: Case, record: FederationRecord) -> bool | None:
    """Whether what should go on has not for two wake-ups; None if it can't be told."""
    before, under_way = case.now - _STALLED_S, case.operations.under_way(record)
    is_still = is_stalled(record, under_way, before)
    if under_way is not None or not is_still:
        return is_still
    try:  # it is between two rounds, for a moment at least
        last = case.operations.rounds.of(record.federation, record.life, record.round)
    except UnknownRoundError:
        return None
    return last.closed_at is not None and last.closed_at <= before
