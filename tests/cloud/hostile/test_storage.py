"""Where a member may write, how much of it stays, and what its litter does."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloud.state.models import Models
from protocol import names
from protocol.messages import CheckRound, encode
from sandbox.embedded_aws import EmbeddedAws
from sandbox.function_logs import function_lines
from sandbox.polling import eventually
from tests.cloud.hostile.conftest import HONEST, HOSTILE, Answering, Member, Members
from tests.cloud.simulated import SimulatedFederation
from tests.conftest import Line

ELSEWHERE = [
    "federations/f/models/00000001.safetensors",
    "federations/f/models/updates/x/hostile.safetensors",
    "federations/f/models/00000001.safetensors/updates/x/hostile.safetensors",
    "federations/f/optimizer/updates/x/hostile.safetensors",
    "federations/f/ema/updates/x/hostile.safetensors",
    "federations/f/partial/00000001/updates/x/hostile.safetensors",
    names.former_update_key("f", 1, HOSTILE),
    names.update_key("f", 1, "d0"),
    names.update_key("f", 1, f"{HOSTILE}-2"),
    "updates/hostile.safetensors/d0.safetensors",
    "updates/f/00000001/hostile.pt",
    "updates/f/00000001/hostile.safetensors/x",
    "hostile.safetensors",
]


@pytest.mark.parametrize("key", ELSEWHERE)
@pytest.mark.parametrize("operation", ["put_object", "create_multipart_upload"])
def test_a_member_writes_and_begins_uploads_below_its_own_names_only(hostile: Member, operation: str, key: str) -> None:
    body = {"Body": b"1"} if operation == "put_object" else {}
    assert hostile.is_denied(operation, Key=key, **body)


def test_a_member_does_nothing_else_with_the_bucket(hostile: Member, members: Members) -> None:
    members.create()
    key = hostile.update_key(members)
    version = hostile.put(key, b"its own")
    assert hostile.is_denied("get_object", Key=key)
    assert hostile.is_denied("get_object", Key=names.update_key(members.simulated.name, 1, "d0"))
    assert hostile.is_denied("list_objects_v2")
    assert hostile.is_denied("list_object_versions")
    assert hostile.is_denied("list_multipart_uploads")
    assert hostile.is_denied("delete_object", Key=key)
    assert hostile.is_denied("delete_object", Key=key, VersionId=version)
    assert hostile.is_denied("put_object_tagging", Key=key, Tagging={"TagSet": []})
    assert hostile.is_denied("put_object_acl", Key=key, ACL="public-read")
    assert hostile.is_denied("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"})
    model = members.simulated.current()[0].key
    assert hostile.s3.get_object(Bucket=hostile.bucket, Key=model)["Body"].read()
    members.simulated.settled()


def test_uploads_that_others_began_beside_a_models_key_are_not_the_models(aws: EmbeddedAws, members: Members) -> None:
    """As a member could begin them below models/ in earlier versions."""
    members.create()
    s3, bucket = aws.client("s3"), members.simulated.deployed.bucket
    key = names.model_key(members.simulated.name, 1)
    litter = f"{key}/updates/x/hostile.safetensors"
    mine = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    theirs = [s3.create_multipart_upload(Bucket=bucket, Key=litter)["UploadId"] for _ in range(3)]
    Models(s3, bucket).give_up(key)
    found = s3.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", [])
    assert sorted(upload["UploadId"] for upload in found) == sorted(theirs)
    assert mine not in theirs
    for upload in theirs:
        s3.abort_multipart_upload(Bucket=bucket, Key=litter, UploadId=upload)


def versions_of(simulated: SimulatedFederation, key: str) -> list[str]:
    """The versions that there are of an object."""
    answer = simulated.aws.client("s3").list_object_versions(Bucket=simulated.deployed.bucket, Prefix=key)
    return [version["VersionId"] for version in answer.get("Versions", []) if version["Key"] == key]


def deleted(simulated: SimulatedFederation, key: str) -> None:
    """Return when no version of an object is left."""
    eventually(lambda: not versions_of(simulated, key), f"{key} to be deleted")


def test_what_is_larger_than_any_update_is_refused_and_deleted(
    members: Members, hostile: Member, calm: dict[str, bytes]
) -> None:
    members.begin()
    simulated = members.simulated
    key, stray = hostile.update_key(members), hostile.update_key(members, 77)
    for each in (key, stray):
        hostile.put(each, b"x" * 3_000_000)
        deleted(simulated, each)
    assert "at most" in simulated.reason(HOSTILE, 1)
    assert simulated.reason(HOSTILE, 0) == "unknown round 77"
    small = hostile.put(key, b"malformed, but small")
    eventually(lambda: simulated.reason(HOSTILE, 1).startswith("malformed"), "the small one to be refused")
    assert versions_of(simulated, key) == [small]
    members.answer()
    assert simulated.ended(1).accepted == 3
    assert members.bits() == calm


@pytest.mark.parametrize(
    "key",
    [
        "updates/hostile.safetensors/hostile.safetensors",
        "updates/f/00000001/x/hostile.safetensors",
        "updates/f/1/hostile.safetensors",
        "updates/F/00000001/hostile.safetensors",
        "updates/f f+%2F/\u0661/hostile.safetensors",
        names.update_key("made-up", 1, HOSTILE),
    ],
)
def test_what_is_no_update_of_a_federation_is_deleted(
    members: Members, hostile: Member, calm: dict[str, bytes], key: str
) -> None:
    members.begin()
    hostile.put(key, b"x" * 100_000)
    deleted(members.simulated, key)
    members.answer()
    assert members.simulated.ended(1).accepted == 3
    assert members.bits() == calm


def test_how_much_devices_store_and_how_much_of_it_is_junk_are_metrics_of_no_device(
    aws: EmbeddedAws, members: Members, hostile: Member
) -> None:
    members.begin()
    simulated = members.simulated
    hostile.put(hostile.update_key(members), b"x" * 1_234_567)
    eventually(lambda: simulated.reason(HOSTILE, 1), "the refusal")

    def told() -> dict[str, Any] | None:
        events = aws.client("logs").filter_log_events(logGroupName=f"/fedgrass/{simulated.deployed.averager}")
        lines = [json.loads(e["message"]) for e in events["events"] if e["message"].startswith('{"_aws"')]
        return next((line for line in lines if line.get("junk_bytes") == 1_234_567), None)

    line = eventually(told, "the averager's line")
    assert line["stored_bytes"] == 1_234_567
    (emitted,) = line["_aws"]["CloudWatchMetrics"]
    assert emitted["Dimensions"] == [["function"]]
    assert {"Name": "junk_bytes", "Unit": "Bytes"} in emitted["Metrics"]
    assert HOSTILE not in json.dumps(line)
    for thing in HONEST:
        simulated.answer(thing, 1)
    simulated.ended(1)


def test_of_many_uploads_in_one_delivery_only_the_last_is_fetched(
    aws: EmbeddedAws, members: Members, hostile: Member, calm: dict[str, bytes]
) -> None:
    members.create()
    simulated, key = members.simulated, hostile.update_key(members)
    events = {f"m{n}": simulated.arrival_of(key, hostile.put(key, f"junk {n}".encode())) for n in range(8)}
    simulated.settled()
    simulated.claim(*HONEST, HOSTILE)
    before = len(function_lines(aws, simulated.deployed.averager))
    assert simulated.invoke(simulated.deployed.averager, **events) == set()
    (line,) = function_lines(aws, simulated.deployed.averager)[before:]
    assert line.calls["s3.GetObject"] <= 2  # the last one, and what an update has to look like
    assert simulated.round(1).refused == 1
    for thing, update in members.updates().items():
        simulated.put(thing, 1, update)
    assert simulated.ended(1).accepted == 3
    assert members.bits() == calm


def test_an_update_that_an_older_component_put_where_updates_lay_counts(
    members: Members, calm: dict[str, bytes]
) -> None:
    """As it may have been, while the stack was brought up to date."""
    members.begin()
    simulated, updates = members.simulated, members.updates()
    for thing in ("d0", "d1"):
        simulated.put_object(names.former_update_key(simulated.name, 1, thing, simulated.life), updates[thing])
    simulated.accepted_count(1, 2)
    forget_the_keys(simulated)
    simulated.put("d2", 1, updates["d2"])
    assert simulated.ended(1).accepted == 3
    assert members.bits() == calm


def forget_the_keys(simulated: SimulatedFederation) -> None:
    """Let the responses so far be as an older averager wrote them."""
    for thing in ("d0", "d1"):
        simulated.aws.client("dynamodb").update_item(
            TableName=simulated.deployed.responses_table,
            Key={"round": {"S": f"{simulated.name}#00000001"}, "response": {"S": thing}},
            UpdateExpression="REMOVE #key",
            ConditionExpression="attribute_exists(#key)",
            ExpressionAttributeNames={"#key": "key"},
        )


def test_what_the_functions_told_themselves_in_the_queue_of_an_earlier_version_is_understood(
    aws: EmbeddedAws, members: Members
) -> None:
    members.begin(deadline_s=500.0)
    simulated = members.simulated
    members.simulated.set_time(1, "deadline", 1.0)
    check = encode(CheckRound(federation=simulated.name, life=simulated.life, round=1, at=1.0)).decode()
    aws.client("sqs").send_message(QueueUrl=simulated.deployed.updates_queue, MessageBody=check)
    simulated.round_with(1, "extended", lambda record: record.extended)


def test_a_version_that_is_gone_is_deleted_again_without_a_word(aws: EmbeddedAws, members: Members) -> None:
    members.create()
    simulated = members.simulated
    models, key = Models(aws.client("s3"), simulated.deployed.bucket), f"elsewhere/{simulated.name}"
    version = simulated.put_object(key, b"1")
    for _ in range(2):
        models.delete(key, version)
    with pytest.raises(ClientError, match=re.escape("404")):
        aws.client("s3").head_object(Bucket=simulated.deployed.bucket, Key=key, VersionId=version)


def test_what_s3_does_not_delete_comes_again_and_all_else_of_its_delivery_is_done(
    members: Members, hostile: Member, line: Line, calm: dict[str, bytes]
) -> None:
    members.create()
    simulated = members.simulated
    good = simulated.put_early(members.updates())
    key = names.update_key("made-up", 1, HOSTILE)
    junk = simulated.arrival_of(key, "null")
    simulated.claim(*HONEST, HOSTILE)
    line.fault = Answering(key, "403 Forbidden", "AccessDenied", method="DELETE")
    assert simulated.invoke(simulated.deployed.averager, junk=junk, **good) == {"junk"}
    assert simulated.ended(1).accepted == 3
    assert members.bits() == calm
