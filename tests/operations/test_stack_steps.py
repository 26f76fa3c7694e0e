"""Steps that change a stack, on the embedded AWS: what each says that it will do, and the states it starts from."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from operations import deployment, packaging, stacks
from operations.deployment import Packages
from operations.stack_steps import DeploymentError, Waiting
from sandbox.embedded_aws import EmbeddedAws

if TYPE_CHECKING:
    from operations.stack_events import ResourceEvent

QUEUE = {"Queue": {"Type": "AWS::SQS::Queue"}}
OURS = {"Bucket": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 30}}}
"""Of the name that one of ours has."""


@pytest.fixture(scope="module")
def packages() -> Packages:
    layer = packaging.dependencies(packaging.this_machine(), packaging.cache_directory())
    return Packages(code=packaging.code({}), dependencies=layer)


@pytest.fixture
def cloudformation(aws: EmbeddedAws) -> Iterator[Any]:
    """A client, of an AWS that has the test's stack no more when it is over."""
    client = aws.client("cloudformation")
    yield client
    client.delete_stack(StackName="steps")
    client.get_waiter("stack_delete_complete").wait(StackName="steps", WaiterConfig={"Delay": 1})


def wanted(resources: Any, **more: Any) -> stacks.Wanted:
    given: dict[str, Any] = {"parameters": {}, "kept": (), "tags": {}, "note": "", "own": ("Bucket",)}
    body = json.dumps({"Resources": resources})
    return stacks.Wanted(**(given | {"template": {"TemplateBody": body}} | more))


def to(cloudformation: Any, resources: Any, **more: Any) -> Iterator[Any]:
    return stacks.steps(cloudformation, "steps", wanted(resources, **more), lambda: ())


def taken(steps: Iterator[Any]) -> list[str]:
    told = []
    for step in steps:
        told.append(step.what)
        step.carry_out(lambda _: None)
    return told


def test_changes_are_known_before_they_are_made_and_told_as_they_are_made(cloudformation: Any) -> None:
    (step,) = to(cloudformation, OURS)
    assert [(each.action, each.resource, each.kind) for each in step.changes] == [("Add", "Bucket", "AWS::SQS::Queue")]
    events: list[ResourceEvent] = []
    step.carry_out(events.append)
    of_bucket = [event.status for event in events if event.resource == "Bucket"]
    assert of_bucket == ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]

    assert list(to(cloudformation, OURS)) == []
    (step,) = to(cloudformation, {"Bucket": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 40}}})
    (change,) = step.changes
    assert (change.action, change.resource, change.replaced) == ("Modify", "Bucket", "")
    assert "steps-Bucket" in change.name
    events.clear()
    step.carry_out(events.append)
    assert {event.status for event in events if event.resource == "Bucket"} >= {"UPDATE_COMPLETE"}
    assert not [event for event in events if event.status.startswith("CREATE")]  # those are of the first change


def test_what_is_discarded_leaves_nothing_behind(cloudformation: Any) -> None:
    (step,) = to(cloudformation, OURS)
    step.discard()
    assert stacks.described(cloudformation, "steps") is None
    taken(to(cloudformation, OURS))
    (step,) = to(cloudformation, OURS | QUEUE)
    step.discard()
    left = cloudformation.list_change_sets(StackName="steps")["Summaries"]
    assert [each for each in left if each["ExecutionStatus"] == "AVAILABLE"] == []
    found = stacks.described(cloudformation, "steps")
    assert found is not None
    assert found["StackStatus"] == "CREATE_COMPLETE"


def test_a_stack_with_changes_that_nobody_has_carried_out_is_made_all_the_same(cloudformation: Any) -> None:
    next(to(cloudformation, OURS))  # and then this process was killed
    assert taken(to(cloudformation, OURS)) == [
        "stack steps has changes that nobody has carried out",
        "stack steps is made",
    ]


def test_what_is_under_way_is_waited_for_and_what_came_to_nothing_is_named_and_replaced(cloudformation: Any) -> None:
    handle = {"Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
    never = {"Type": "AWS::CloudFormation::WaitCondition", "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "3"}}
    cloudformation.create_stack(
        StackName="steps", TemplateBody=json.dumps({"Resources": OURS | handle | {"Never": never}})
    )
    waited, replaced, made = taken(to(cloudformation, OURS))
    assert waited.startswith("stack steps is CREATE_IN_PROGRESS, by an earlier command or by someone else: its end is")
    assert replaced.startswith("stack steps is ROLLBACK_COMPLETE: an earlier try to make it, or to delete it, has ")
    assert made == "stack steps is made"


def test_what_has_ended_since_it_was_looked_at_is_not_waited_for(cloudformation: Any) -> None:
    taken(to(cloudformation, OURS))
    stack_id = cloudformation.describe_stacks(StackName="steps")["Stacks"][0]["StackId"]
    Waiting(cloudformation, "steps", stack_id, "CREATE_IN_PROGRESS").carry_out(lambda _: None)


def test_a_stack_of_something_else_is_left_alone(cloudformation: Any) -> None:
    cloudformation.create_stack(StackName="steps", TemplateBody=json.dumps({"Resources": QUEUE}))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="steps", WaiterConfig={"Delay": 1})
    with pytest.raises(DeploymentError, match="stack steps is not one of fedgrass, it has Queue"):
        taken(to(cloudformation, OURS))


def test_a_change_that_fails_is_told_with_the_resource_and_without_earlier_failures(cloudformation: Any) -> None:
    taken(to(cloudformation, OURS))
    for number in (1, 2):
        waiting = {"Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
        properties = {"Handle": {"Ref": "Handle"}, "Timeout": "1"}
        never = {f"Never{number}": {"Type": "AWS::CloudFormation::WaitCondition", "Properties": properties}}
        with pytest.raises(DeploymentError, match=f"it is UPDATE_ROLLBACK_COMPLETE: .*Never{number}: ") as told:
            taken(to(cloudformation, OURS | waiting | never))
        assert f"Never{3 - number}" not in str(told.value)


def test_tags_stay_until_others_are_given(cloudformation: Any) -> None:
    def tags() -> dict[str, str]:
        (found,) = cloudformation.describe_stacks(StackName="steps")["Stacks"]
        return {tag["Key"]: tag["Value"] for tag in found["Tags"]}

    taken(to(cloudformation, OURS, tags={"team": "vision"}))
    assert tags() == {"team": "vision"}
    taken(to(cloudformation, OURS | QUEUE))
    assert tags() == {"team": "vision"}
    taken(to(cloudformation, OURS | QUEUE, tags={"cost": "42"}))
    assert tags() == {"cost": "42"}


@pytest.mark.parametrize(("bytes_", "by_s3"), [(51_200, False), (51_201, True), (200_000, True)])
def test_a_template_that_is_too_long_for_a_call_goes_by_s3(
    aws: EmbeddedAws, packages: Packages, bytes_: int, by_s3: bool
) -> None:
    template = deployment.TEMPLATE.read_text()
    room = bytes_ - len(template.encode())
    template += "#" + "ä" * ((room - 2) // 2) + "#" * (room % 2) + "\n"  # what counts is bytes
    assert len(template.encode()) == bytes_
    cloudformation = aws.client("cloudformation")
    asked: list[Any] = []
    cloudformation.meta.events.register(
        "before-parameter-build.cloudformation.CreateChangeSet", lambda params, **_: asked.append(dict(params))
    )
    (step,) = deployment.steps(aws.client, "long", packages, {}, template=template)
    assert len(step.changes) > 30
    assert [("TemplateURL" in each, "TemplateBody" in each) for each in asked] == [(by_s3, not by_s3)]
    step.discard()


def test_a_stack_has_the_architecture_memory_and_boundary_that_it_is_told_until_it_is_told_otherwise(
    aws: EmbeddedAws, packages: Packages
) -> None:
    boundary = "arn:aws:iam::000000000000:policy/boundary"
    told = {"Architecture": "x86_64", "AveragerMemory": "3008", "PermissionsBoundary": boundary}
    for parameters in (told, {"LogRetentionDays": "7"}):
        made = deployment.deploy(aws.client, "told", packages.code, packages.dependencies, parameters)
        assert deployment.architecture(aws.client, "told") == "x86_64"
        averager = aws.client("lambda").get_function_configuration(FunctionName=made.averager)
        assert (averager["Architectures"], averager["MemorySize"]) == (["x86_64"], 3008)
        (stack,) = aws.client("cloudformation").describe_stacks(StackName="told")["Stacks"]
        assert {"ParameterKey": "PermissionsBoundary", "ParameterValue": boundary} in stack["Parameters"]
    for step in deployment.steps(aws.client, "told", packages, {"AveragerMemory": "3009"}):
        assert {change.resource for change in step.changes} >= {"Averager"}
        step.discard()
    with pytest.raises(DeploymentError, match="AveragerMemory"):
        list(deployment.steps(aws.client, "told", packages, {"AveragerMemory": "128"}))


class _NewAccount:
    """Of the Lambda client, what an account answers that runs ten invocations at once."""

    def get_account_settings(self) -> dict[str, dict[str, int]]:
        return {"AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}}


def test_a_new_account_gets_a_stack_that_asks_for_ten_invocations_until_it_may_run_more(
    aws: EmbeddedAws, packages: Packages
) -> None:
    def new_account(service: str) -> Any:
        return _NewAccount() if service == "lambda" else aws.client(service)

    def asked() -> list[int | None]:
        mappings = [
            mapping
            for name in ("new-initiator", "new-averager")
            for mapping in aws.client("lambda").list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        ]
        return [mapping.get("ScalingConfig", {}).get("MaximumConcurrency") for mapping in mappings]

    (step,) = deployment.steps(new_account, "new", packages, {"AveragerConcurrency": "5"})
    assert "this account runs 10 invocations at once" in step.what
    assert "AveragerConcurrency 5 can't be reserved" in step.what
    step.carry_out(lambda _: None)
    assert asked() == [2] * 5
    (step,) = deployment.steps(aws.client, "new", packages, {})
    step.carry_out(lambda _: None)
    assert sorted(number or 0 for number in asked()) == [2, 2, 8, 16, 100]
