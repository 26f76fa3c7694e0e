"""cloud/template.yaml: it is valid, and gives each part the rights that it needs and no others."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud import metrics
from cloud.averager.work.sharding import INVOCATION_S, MEMORY_MB
from cloud.averaging.last_updates import KEPT_S
from cloud.state.records import ClientRecord
from lint.short_forms import ShortForms
from operations import deployment
from operations.deployment import TEMPLATE, Deployment
from protocol import names

DEPLOYMENT_FIELDS = [field for field in Deployment.__struct_fields__ if field != "stack"]


TEMPLATE_BODY: dict[str, Any] = yaml.load(TEMPLATE.read_text(), ShortForms)  # noqa: S506 - a safe loader
RESOURCES: dict[str, Any] = TEMPLATE_BODY["Resources"]


REGIONS = ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1"]
"""One or two of each partition."""


def statements(resource: str) -> list[dict[str, Any]]:
    properties = RESOURCES[resource]["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    if "PolicyDocument" in properties:
        documents.append(properties["PolicyDocument"])
    return [statement for document in documents for statement in document["Statement"]]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type."""
    return {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


POLICIES = [name for name, resource in RESOURCES.items() if re.search(r"Role$|Policy$", resource["Type"])]
STATEMENTS = [(name, number) for name in POLICIES for number in range(len(statements(name)))]
each_statement = pytest.mark.parametrize(("resource", "number"), STATEMENTS)


def test_cfn_lint_finds_nothing() -> None:
    # not for all to wait for that collect tests
    from cfnlint import api  # type: ignore[import-untyped]
    from cfnlint.config import ManualArgs  # type: ignore[import-untyped]

    found = api.lint(TEMPLATE.read_text(), config=ManualArgs(regions=REGIONS))
    assert [f"{match.linenumber}: {match.rule.id} {match.message}" for match in found] == []


def test_the_policies_of_all_that_acts_are_looked_at() -> None:
    assert {
        "InitiatorRole",
        "AveragerRole",
        "RulesRole",
        "DevicePolicy",
        "DeviceIotPolicy",
        "UpdatesQueuePolicy",
        "BucketPolicy",
    } <= set(POLICIES)


@each_statement
def test_no_statement_allows_every_action_or_every_resource(resource: str, number: int) -> None:
    statement = statements(resource)[number]
    if statement["Effect"] == "Deny":  # it takes away, and gives nothing
        return
    for action in as_list(statement["Action"]):
        assert "*" not in action
    for target in as_list(statement["Resource"]):
        text = target.get("Fn::Sub") if isinstance(target, dict) else target
        if text is None:  # a Ref or GetAtt of a resource of the template: that one alone
            continue
        assert text != "*"
        # The account, the region and the kind are fixed; a star stands in the last part only.
        *fixed, last = text.split(":", 5) if text.startswith("arn:") else text.split("/", 1)
        assert "*" not in "".join(fixed)
        assert last.strip("*/"), text


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("RulesRole", {"sqs"}),
        ("InitiatorRole", {"logs", "sqs", "dynamodb", "iot"}),
        ("AveragerRole", {"logs", "sqs", "dynamodb", "iot", "s3"}),
        ("DevicePolicy", {"s3"}),
        ("DeviceIotPolicy", {"iot"}),
    ],
)
def test_each_part_uses_its_services_only(role: str, allowed: set[str]) -> None:
    actions = [action for statement in statements(role) for action in as_list(statement["Action"])]
    assert {action.split(":")[0] for action in actions} == allowed


def test_nothing_is_deleted_but_messages_and_what_devices_have_stored() -> None:
    deleted = {
        (name, action, str(statement["Resource"]) if action != "sqs:DeleteMessage" else "")
        for name in POLICIES
        for statement in statements(name)
        for action in as_list(statement["Action"])
        if "Delete" in action
    }
    assert deleted == {
        ("InitiatorRole", "sqs:DeleteMessage", ""),
        ("AveragerRole", "sqs:DeleteMessage", ""),
        ("AveragerRole", "s3:DeleteObjectVersion", str({"Fn::Sub": "${Bucket.Arn}/updates/*"})),
    }


def test_only_the_averager_writes_models_and_what_belongs_to_them_and_only_devices_write_updates() -> None:
    writers = {
        (name, target["Fn::Sub"].partition("/")[2])
        for name in POLICIES
        for statement in statements(name)
        if statement["Effect"] == "Allow" and "s3:PutObject" in as_list(statement["Action"])
        for target in as_list(statement["Resource"])
    }
    assert writers == {
        ("AveragerRole", "federations/*/models/*"),
        ("AveragerRole", "federations/*/optimizer/*"),
        ("AveragerRole", "federations/*/ema/*"),
        ("AveragerRole", "federations/*/partial/*"),
        ("DevicePolicy", "updates/*/${!credentials-iot:ThingName}.safetensors"),
    }


def test_a_device_is_bounded_by_its_own_name_wherever_it_writes() -> None:
    for resource in ("DevicePolicy", "DeviceIotPolicy"):
        for statement in statements(resource):
            reads_models = statement["Action"] == "s3:GetObject"
            for target in as_list(statement["Resource"]):
                assert reads_models or "ThingName}" in target["Fn::Sub"], statement


def test_the_devices_patterns_match_the_names_that_the_protocol_gives() -> None:
    def matches(resource: str, arn_of: str, action: str | None = None) -> bool:
        patterns = [
            re.sub(r"\$\{!?[^}]*ThingName\}", "thing", target["Fn::Sub"]).split("/", 1)[1]
            for statement in statements(resource)
            if action is None or action in as_list(statement["Action"])
            for target in as_list(statement["Resource"])
        ]
        return any(
            re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), arn_of) is not None for pattern in patterns
        )

    for life in ("", "0a1b2c3d"):
        assert matches("DevicePolicy", names.update_key("f", 1, "thing", life))
        assert matches("DevicePolicy", names.model_key("f", 1, life))
        assert not matches("DevicePolicy", names.update_key("f", 1, "other", life))
        assert not matches("DevicePolicy", names.former_update_key("f", 1, "thing", life))
    assert matches("DeviceIotPolicy", names.hello_topic("f", "thing"))
    for operation in ("get", "update"):
        assert matches("DeviceIotPolicy", names.shadow_topic("f", "thing", operation), "iot:Publish")
    for operation in ("update/delta", "update/accepted", "get/accepted", "delete"):
        assert matches("DeviceIotPolicy", names.shadow_topic("f", "thing", operation), "iot:Receive")
        assert not matches("DeviceIotPolicy", names.shadow_topic("f", "thing", operation), "iot:Publish")
    assert not matches("DeviceIotPolicy", names.hello_topic("f", "other"))
    assert not matches("DeviceIotPolicy", names.shadow_topic("f", "other", "update"))
    assert not matches("DeviceIotPolicy", names.round_topic("f"))


def sql_of(rule: str) -> str:
    return str(RESOURCES[rule]["Properties"]["TopicRulePayload"]["Sql"])


@pytest.mark.parametrize("rule", ["HelloRule", "OutcomeRule"])
def test_a_rule_names_every_field_itself(rule: str) -> None:
    """A star would let a device send a field `thing` of its own."""
    assert "*" not in sql_of(rule)


def test_the_hello_rule_takes_federation_and_thing_from_the_topic() -> None:
    sql = sql_of("HelloRule")
    assert "topic(2) AS federation" in sql
    assert "topic(4) AS thing" in sql
    assert f"FROM '{names.hello_topic('f', 't').replace('/f/', '/+/').replace('/t/', '/+/')}' WHERE " in sql


def test_the_outcome_rule_takes_thing_and_shadow_from_the_topic() -> None:
    topic = names.shadow_topic("f", "t", "update/accepted").split("/")
    sql = sql_of("OutcomeRule")
    assert f"topic({topic.index('t') + 1}) AS thing" in sql
    assert f"topic({topic.index(names.shadow_name('f')) + 1}) AS shadow" in sql
    pattern = "/".join("+" if part in ("t", names.shadow_name("f")) else part for part in topic)
    assert f"FROM '{pattern}' WHERE" in sql


def test_a_message_stays_invisible_for_longer_than_its_function_may_run() -> None:
    for queue, function in (
        ("RoundsQueue", "Initiator"),
        ("HelloQueue", "Initiator"),
        ("UpdatesQueue", "Averager"),
        ("ControlQueue", "Averager"),
    ):
        timeout = RESOURCES[function]["Properties"]["Timeout"]
        assert RESOURCES[queue]["Properties"]["VisibilityTimeout"] > timeout


def test_both_functions_tell_which_messages_failed() -> None:
    for function in ("Initiator", "Averager"):
        events = RESOURCES[function]["Properties"]["Events"].values()
        queues = [event["Properties"] for event in events if event["Type"] == "SQS"]
        assert queues
        assert all(queue["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for queue in queues)


def test_models_are_kept_and_the_bucket_is_closed() -> None:
    bucket = RESOURCES["Bucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())


def test_what_devices_store_expires_wherever_it_lies_below_their_prefix_and_models_do_not() -> None:
    rules = {rule["Id"]: rule for rule in RESOURCES["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]}
    assert all(rule["Status"] == "Enabled" for rule in rules.values())
    expiring = {name: rule for name, rule in rules.items() if "ExpirationInDays" in rule}
    assert expiring.keys() == {"updates-expire", "sums-expire"}
    assert (rules["updates-expire"]["Prefix"], "TagFilters" in rules["updates-expire"]) == (names.UPDATES_PREFIX, False)
    tag, _, value = names.EXPIRING_TAG.partition("=")
    assert rules["sums-expire"]["TagFilters"] == [{"Key": tag, "Value": value}]
    everywhere = rules["old-versions-expire"]
    assert everywhere["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert KEPT_S < 30 * 86_400, "whatever UpdateRetentionDays is, S3 has an update's version for so long"
    assert everywhere["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert "Prefix" not in everywhere


def test_records_of_clients_whose_federation_there_is_not_are_deleted_at_their_time() -> None:
    ttl = RESOURCES["ClientsTable"]["Properties"]["TimeToLiveSpecification"]
    assert ttl == {"AttributeName": "expires_at", "Enabled": True}
    assert "expires_at" in ClientRecord.__struct_fields__


def test_s3_tells_of_updates_where_they_lie_and_where_they_lay() -> None:
    told = RESOURCES["Bucket"]["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    prefixes = [each["Filter"]["S3Key"]["Rules"][0] for each in told]
    assert prefixes == [{"Name": "prefix", "Value": names.UPDATES_PREFIX}, {"Name": "prefix", "Value": "federations/"}]


def test_a_device_stores_only_what_the_averager_can_read() -> None:
    (write,) = [s for s in statements("DevicePolicy") if s["Sid"] == "WriteOwnUpdate"]
    assert write["Action"] == "s3:PutObject"
    assert write["Condition"] == {
        "StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}},
        "StringEqualsIfExists": {"s3:x-amz-storage-class": "STANDARD", "s3:x-amz-server-side-encryption": "AES256"},
        "Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "true"},
    }
    refused = {statement["Sid"]: statement["Condition"] for statement in statements("BucketPolicy")}
    assert refused["NoKeyOfTheSender"] == {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}
    assert refused["NoChosenKey"] == {
        "Null": {"s3:x-amz-server-side-encryption": "false"},
        "StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"},
    }


def test_what_keeps_a_round_going_has_a_queue_that_devices_cannot_fill() -> None:
    events = RESOURCES["Averager"]["Properties"]["Events"]
    control = events["Control"]["Properties"]
    assert control["Queue"] == {"Fn::GetAtt": "ControlQueue.Arn"}
    assert control["BatchSize"] == 1
    filled = {str(statement["Resource"]) for statement in (*statements("RulesRole"), *statements("UpdatesQueuePolicy"))}
    assert "ControlQueue" not in "".join(filled)
    redrive = RESOURCES["ControlQueue"]["Properties"]["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": "UpdatesDeadLetters.Arn"}


def test_alarms_speak_of_metrics_that_no_device_has_of_its_own() -> None:
    own = {"Ref": "AWS::StackName"}  # another stack of the account has metrics of the same names
    ours = [alarm for alarm in of_type("AWS::CloudWatch::Alarm").values() if alarm["Namespace"] == own]
    assert TEMPLATE_BODY["Globals"]["Function"]["Environment"]["Variables"]["NAMESPACE"] == own
    assert ours
    for alarm in ours:
        (dimension,) = alarm["Dimensions"]
        assert dimension["Name"] == "function"
        assert alarm["MetricName"] in metrics.OF_FUNCTION[dimension["Value"]]


def test_of_what_devices_have_stored_an_alarm_looks_at_all_that_is_in_the_bucket() -> None:
    (growth,) = [one for one in of_type("AWS::CloudWatch::Alarm").values() if one["Namespace"] == "AWS/S3"]
    assert growth["Dimensions"] == [
        {"Name": "BucketName", "Value": {"Ref": "Bucket"}},
        {"Name": "StorageType", "Value": "StandardStorage"},
    ]
    assert growth["Period"] == 86_400  # as often as S3 counts
    assert growth["TreatMissingData"] == "ignore"


def test_no_progress_is_no_wake_up_without_something_that_stands_still_or_no_wake_up_at_all() -> None:
    alarm = RESOURCES["NoProgressAlarm"]["Properties"]
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Minimum", 0)
    assert alarm["TreatMissingData"] == "breaching"


def test_a_function_writes_into_a_log_of_its_own_that_forgets_and_into_no_other() -> None:
    for name in ("Initiator", "Averager"):
        group = RESOURCES[f"{name}Logs"]
        assert group["Type"] == "AWS::Logs::LogGroup"
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        # A group of the name that Lambda takes by itself may be there already, from an earlier version of the stack.
        assert group["Properties"]["LogGroupName"] == {"Fn::Sub": f"/fedgrass/${{AWS::StackName}}-{name.lower()}"}
        assert RESOURCES[name]["Properties"]["LoggingConfig"] == {"LogGroup": {"Ref": f"{name}Logs"}}
        (logs,) = [one for one in statements(f"{name}Role") if "logs:" in str(one["Action"])]
        assert logs["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
        assert logs["Resource"] == {"Fn::GetAtt": f"{name}Logs.Arn"}


def test_a_deployment_leaves_each_parameter_that_it_does_not_set_as_it_is() -> None:
    set_by_deploy = set(re.findall(r'^            "(\w+)": ', inspect.getsource(deployment.steps), re.MULTILINE))
    by_account = {"Concurrency"}
    assert TEMPLATE_BODY["Parameters"].keys() == set_by_deploy | by_account | set(deployment.SETTABLE)


def test_the_outputs_are_what_a_deployment_is_made_of() -> None:
    expected = {"".join(word.capitalize() for word in field.split("_")) for field in DEPLOYMENT_FIELDS}
    assert TEMPLATE_BODY["Outputs"].keys() == expected


def test_every_variable_that_the_functions_read_is_set() -> None:
    source = (Path(TEMPLATE).parent / "services.py").read_text()
    read = set(re.findall(r'environment\["([A-Z_]+)"\]', source))
    variables = TEMPLATE_BODY["Globals"]["Function"]["Environment"]["Variables"]
    of_libraries = {"OPENBLAS_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
    assert read == variables.keys() - of_libraries


def test_the_plan_of_a_round_knows_what_an_averager_has() -> None:
    averager = RESOURCES["Averager"]["Properties"]
    memory = TEMPLATE_BODY["Parameters"]["AveragerMemory"]
    assert (averager["Timeout"], averager["MemorySize"]) == (INVOCATION_S, {"Ref": "AveragerMemory"})
    assert memory["Default"] == memory["MinValue"] == MEMORY_MB
    assert all(
        RESOURCES[queue]["Properties"]["VisibilityTimeout"] > INVOCATION_S
        for queue in ("UpdatesQueue", "ControlQueue", "ShardsQueue")
    )


def test_the_bucket_is_used_by_tls_only() -> None:
    (statement,) = [s for s in statements("BucketPolicy") if s["Sid"] == "TlsOnly"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": "Bucket.Arn"}, {"Fn::Sub": "${Bucket.Arn}/*"}]


def test_a_bucket_of_this_name_in_another_account_is_not_ours() -> None:
    for name in ("AveragerRole", "DevicePolicy"):
        of_s3 = [s for s in statements(name) if s["Effect"] == "Allow" and as_list(s["Action"])[0].startswith("s3:")]
        assert of_s3
        for statement in of_s3:
            assert statement["Condition"]["StringEquals"] == {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}


def test_what_a_rule_cannot_pass_on_is_kept_where_an_alarm_looks() -> None:
    watched = {
        dimension["Value"]["Fn::GetAtt"].partition(".")[0]
        for resource in RESOURCES.values()
        if resource["Type"] == "AWS::CloudWatch::Alarm" and resource["Properties"]["Namespace"] == "AWS/SQS"
        for dimension in resource["Properties"]["Dimensions"]
    }
    for rule in (resource for resource in RESOURCES.values() if resource["Type"] == "AWS::IoT::TopicRule"):
        assert rule["Properties"]["TopicRulePayload"]["ErrorAction"]["Sqs"]["QueueUrl"]["Ref"] in watched


def test_every_table_can_be_brought_back_and_is_not_deleted_by_accident() -> None:
    tables = {name: resource for name, resource in RESOURCES.items() if resource["Type"] == "AWS::DynamoDB::Table"}
    assert tables.keys() == set(deployment.TABLES)
    for table in tables.values():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["DeletionProtectionEnabled"] is True
        assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert "TableName" not in table["Properties"]  # it is found by the one that CloudFormation makes


def test_no_arn_is_of_one_partition_only() -> None:
    _, _, made = TEMPLATE.read_text().partition("\nConditions:\n")  # parameters take those of all partitions
    assert re.findall(r"arn:(?!\$\{AWS::Partition\})\S+", made) == []
    assert "amazonaws.com.cn" not in TEMPLATE.read_text()


def test_every_role_is_bounded_if_an_account_asks_for_it() -> None:
    roles = of_type("AWS::IAM::Role")
    assert roles
    for role in roles.values():
        assert role["PermissionsBoundary"]["Fn::If"][:2] == ["IsBounded", {"Ref": "PermissionsBoundary"}]


def test_in_an_account_of_ten_invocations_the_queues_ask_for_no_more_in_all() -> None:
    asked = []
    for function in ("Initiator", "Averager"):
        for event in RESOURCES[function]["Properties"]["Events"].values():
            if event["Type"] == "SQS":
                most = event["Properties"]["ScalingConfig"]["MaximumConcurrency"]
                asked.append(most["Fn::If"][1] if isinstance(most, dict) else most)
    assert asked == [2] * 5


def test_every_name_fits_where_the_codes_bucket_can_be_named() -> None:
    """A stack's longest name leaves no room in that bucket's, in the Region whose name is the shortest."""
    longest = 63 - len("-code-123456789012-sa-east-1")
    limits = {"BucketName": 63, "FunctionName": 64, "QueueName": 80, "LayerName": 64, "LogGroupName": 512}
    region = {"${AWS::AccountId}": "1" * 12, "${AWS::Region}": "sa-east-1", "${AWS::StackName}": "s" * longest}
    named = 0
    for resource in RESOURCES.values():
        for kind in limits.keys() & resource.get("Properties", {}).keys():
            name = resource["Properties"][kind]["Fn::Sub"]
            for variable, value in region.items():
                name = name.replace(variable, value)
            named += 1
            assert len(name) <= limits[kind]
    assert named > 8


def test_every_alarm_can_be_heard() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")
    assert alarms
    for alarm in alarms.values():
        assert alarm["AlarmActions"]["Fn::If"][:2] == ["IsAlarmed", [{"Ref": "AlarmTopic"}]]
