"""Attacks on the rest of the account, with the credentials of the token exchange service, or as a role elsewhere."""

import io
import json
import zipfile
from typing import Any

from protocol.messages import AbortRound, AverageShard, CheckRound, OpenRound, encode
from trials.attacks.attack import UnexplainedError, Verdict, all_of, attack
from trials.attacks.target import Target

_NOT_ALLOWED = "DevicePolicy allows nothing but objects of the bucket"


@attack("the roles trust the services that they are for")
def assume_other_roles(target: Target) -> Verdict:
    """Become the averager, the initiator, the topic rules, or its own role without the bounds of its session."""
    iam = target.arena.aws.client("iam")
    names = [target.resource(role) for role in ("AveragerRole", "InitiatorRole", "RulesRole")]
    names.append("fedgrass-sandbox-token-exchange")
    known = {
        role["RoleName"]: role["Arn"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]
    }
    arns = [arn for name, arn in known.items() if any(name.startswith(each) for each in names)]
    if len(arns) < len(names):
        raise UnexplainedError(f"of the roles {names} there are {arns}")
    return all_of(target.member.calls("sts", "assume_role", RoleArn=arn, RoleSessionName="averager") for arn in arns)


@attack(_NOT_ALLOWED)
def ask_for_more_lasting_credentials(target: Target) -> Verdict:
    """Turn its credentials into some that last longer, or are not bound to it."""
    member = target.member
    return all_of(
        (
            member.calls("sts", "get_session_token"),
            member.calls("sts", "get_federation_token", Name="averager"),
            member.calls("iam", "create_user", UserName="x"),
            member.calls("iam", "create_access_key", UserName="x"),
            member.calls("iam", "list_roles"),
        )
    )


@attack(_NOT_ALLOWED)
def widen_its_policies(target: Target) -> Verdict:
    """Attach an administrator's policy to its role, or rewrite the policies that bound it."""
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    deployed, member = target.arena.deployed, target.member
    policy = {"policyName": deployed.device_iot_policy_name, "policyDocument": document, "setAsDefault": True}
    managed = {"PolicyArn": deployed.device_policy_arn, "PolicyDocument": document, "SetAsDefault": True}
    inline = {"PolicyName": "x", "PolicyDocument": document}
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    role = "fedgrass-sandbox-token-exchange"
    return all_of(
        (
            member.calls("iam", "attach_role_policy", RoleName=role, PolicyArn=admin),
            member.calls("iam", "put_role_policy", RoleName=role, **inline),
            member.calls("iam", "create_policy_version", **managed),
            member.calls("iot", "create_policy_version", **policy),
        )
    )


@attack(_NOT_ALLOWED)
def call_the_functions(target: Target) -> Verdict:
    """Invoke the averager with an abort, the initiator with a round, at once or in the background."""
    deployed, member = target.arena.deployed, target.member
    abort = encode(AbortRound(federation=target.name, life=target.life, round=1, reason="no")).decode()
    record = {"messageId": "1", "body": abort, "attributes": {"ApproximateReceiveCount": "1"}}
    payload = json.dumps({"Records": [record]}).encode()
    return all_of(
        member.calls("lambda", "invoke", FunctionName=function, Payload=payload, InvocationType=kind)
        for function in (deployed.averager, deployed.initiator)
        for kind in ("RequestResponse", "Event")
    )


@attack(_NOT_ALLOWED)
def replace_the_functions_code(target: Target) -> Verdict:
    """Put its own code, configuration or layer into the functions, or let others invoke them."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("x.py", "")
    member, name, code = target.member, target.arena.deployed.averager, package.getvalue()
    anyone: dict[str, Any] = {"StatementId": "x", "Action": "lambda:InvokeFunction", "Principal": "*"}
    return all_of(
        (
            member.calls("lambda", "update_function_code", FunctionName=name, ZipFile=code),
            member.calls("lambda", "update_function_configuration", FunctionName=name, Timeout=1),
            member.calls("lambda", "put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=0),
            member.calls("lambda", "add_permission", FunctionName=name, **anyone),
            member.calls("lambda", "publish_layer_version", LayerName="x", Content={"ZipFile": code}),
            member.calls("lambda", "get_function", FunctionName=name),
            member.calls("lambda", "delete_function", FunctionName=name),
        )
    )


@attack(_NOT_ALLOWED)
def change_the_code_bucket(target: Target) -> Verdict:
    """Read, replace or delete the functions' code where it was deployed from, or list the bucket."""
    bucket = target.bucket.replace(target.arena.deployed.stack, f"{target.arena.deployed.stack}-code", 1)
    (one, *_) = target.arena.aws.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    member, key = target.member, one["Key"]
    return all_of(
        (
            member.calls("s3", "get_object", Bucket=bucket, Key=key),
            member.calls("s3", "put_object", Bucket=bucket, Key=key, Body=b"own"),
            member.calls("s3", "put_object", Bucket=bucket, Key=f"updates/{member.thing}.safetensors", Body=b"own"),
            member.calls("s3", "delete_object", Bucket=bucket, Key=key),
            member.calls("s3", "list_objects_v2", Bucket=bucket),
            member.calls("s3", "create_bucket", Bucket="another-code-bucket"),
        )
    )


@attack(_NOT_ALLOWED)
def read_and_write_the_tables(target: Target) -> Verdict:
    """Read, change or delete records of federations, rounds, clients and responses."""
    deployed, member = target.arena.deployed, target.member
    federation = {"federation": {"S": target.name}}
    round_key = federation | {"round": {"N": "1"}}
    change = {"UpdateExpression": "SET #s = :s", "ExpressionAttributeNames": {"#s": "status"}}
    value = {"ExpressionAttributeValues": {":s": {"S": "closed"}}}
    tables = (deployed.federations_table, deployed.rounds_table, deployed.clients_table, deployed.responses_table)
    return all_of(
        (
            *(member.calls("dynamodb", "scan", TableName=table) for table in tables),
            *(member.calls("dynamodb", "delete_table", TableName=table) for table in tables),
            member.calls("dynamodb", "get_item", TableName=tables[0], Key=federation),
            member.calls("dynamodb", "put_item", TableName=tables[0], Item=federation),
            member.calls("dynamodb", "delete_item", TableName=tables[0], Key=federation),
            member.calls("dynamodb", "update_item", TableName=tables[1], Key=round_key, **change, **value),
        )
    )


@attack(_NOT_ALLOWED)
def send_to_the_queues(target: Target) -> Verdict:
    """Send the functions' own messages to their queues: abort, check, average, open a round."""
    about: Any = {"federation": target.name, "life": target.life, "round": 1}
    messages = (
        AbortRound(**about, reason="no"),
        CheckRound(**about, at=0.0),
        AverageShard(**about, stage=0, job=0),
        OpenRound(**about | {"round": 2}),
    )
    deployed = target.arena.deployed
    queues = (deployed.control_queue, deployed.updates_queue, deployed.shards_queue, deployed.rounds_queue)
    return all_of(
        target.member.calls("sqs", "send_message", QueueUrl=queue, MessageBody=encode(message).decode())
        for queue in queues
        for message in messages
    )


@attack(_NOT_ALLOWED)
def empty_the_queues(target: Target) -> Verdict:
    """Receive or purge others' messages, so that their updates are never counted."""
    deployed, member = target.arena.deployed, target.member
    queues = (deployed.control_queue, deployed.updates_queue, deployed.shards_queue, deployed.rounds_queue)
    return all_of(
        verdict
        for queue in queues
        for verdict in (
            member.calls("sqs", "receive_message", QueueUrl=queue),
            member.calls("sqs", "purge_queue", QueueUrl=queue),
            member.calls("sqs", "set_queue_attributes", QueueUrl=queue, Attributes={"VisibilityTimeout": "0"}),
        )
    )


@attack("DevicePolicy has nothing of IoT: a device's certificate has")
def use_shadows_over_https(target: Target) -> Verdict:
    """Read and write shadows, its own and another's, and publish, by the credentials instead of the certificate."""
    member, payload = target.member, json.dumps({"state": {"desired": {"withdrawn": 1}}}).encode()
    return all_of(
        (
            *(
                verdict
                for thing in (member.thing, target.victim)
                for where in ({"thingName": thing, "shadowName": target.shadow},)
                for verdict in (
                    member.calls("iot-data", "get_thing_shadow", **where),
                    member.calls("iot-data", "update_thing_shadow", **where, payload=payload),
                    member.calls("iot-data", "delete_thing_shadow", **where),
                )
            ),
            member.calls("iot-data", "publish", topic=f"fedgrass/{target.name}/round", payload=b"{}", retain=True),
        )
    )


@attack(_NOT_ALLOWED)
def change_the_registry(target: Target) -> Verdict:
    """Make things, certificates and topic rules, attach policies, and join thing groups."""
    member, group = target.member, {"thingGroupName": "fedgrass-attacked", "thingName": target.member.thing}
    sql = {"sql": "SELECT * FROM '#'", "actions": []}
    policy = target.arena.deployed.device_iot_policy_name
    return all_of(
        (
            member.calls("iot", "create_thing", thingName="another"),
            member.calls("iot", "create_keys_and_certificate", setAsActive=True),
            member.calls("iot", "add_thing_to_thing_group", **group),
            member.calls("iot", "attach_policy", policyName=policy, target="arn:aws:iot:us-east-1:0:cert/x"),
            member.calls("iot", "replace_topic_rule", ruleName=target.resource("HelloRule"), topicRulePayload=sql),
            member.calls("iot", "list_things"),
        )
    )


@attack(_NOT_ALLOWED)
def change_the_stack(target: Target) -> Verdict:
    """Look at the stack, replace its template, or delete it."""
    member, stack = target.member, target.arena.deployed.stack
    return all_of(
        (
            member.calls("cloudformation", "describe_stacks", StackName=stack),
            member.calls("cloudformation", "get_template", StackName=stack),
            member.calls("cloudformation", "update_stack", StackName=stack, TemplateBody="{}"),
            member.calls("cloudformation", "delete_stack", StackName=stack),
        )
    )


@attack(_NOT_ALLOWED)
def hide_from_the_alarms(target: Target) -> Verdict:
    """Read or delete the functions' logs, delete alarms, and feed them numbers of its own."""
    member, group = target.member, target.resource("AveragerLogs")
    metric = {"MetricName": "junk_bytes", "Value": -1e18}
    return all_of(
        (
            member.calls("logs", "filter_log_events", logGroupName=group),
            member.calls("logs", "delete_log_group", logGroupName=group),
            member.calls("cloudwatch", "put_metric_data", Namespace="fedgrass", MetricData=[metric]),
            member.calls("cloudwatch", "delete_alarms", AlarmNames=[target.resource("JunkAlarm")]),
            member.calls("events", "list_rules"),
        )
    )
