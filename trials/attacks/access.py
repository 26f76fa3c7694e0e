"""Attacks on the bucket: places and objects that are not the member's, and what else one can do with S3."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from protocol import names
from trials.attacks.attack import Verdict, all_of, attack
from trials.attacks.target import Target

_OWN_UPDATES = "DevicePolicy allows writing updates under the own name alone"
_READ_MODELS = "DevicePolicy allows reading models alone"
_NOTHING_ELSE = "DevicePolicy allows nothing else of S3"


def _writes(target: Target, *keys: str) -> Verdict:
    """The verdict on writing to any of these keys, at once or in parts."""
    member = target.member
    return all_of(
        verdict
        for key in keys
        for verdict in (
            member.calls("s3", "put_object", Bucket=target.bucket, Key=key, Body=b"1"),
            member.calls("s3", "create_multipart_upload", Bucket=target.bucket, Key=key),
        )
    )


def _folder(target: Target) -> str:
    return f"federations/{target.name}/{target.life}/"


@attack(_OWN_UPDATES)
def write_anothers_update(target: Target) -> Verdict:
    """Write an update in another's place."""
    return _writes(target, target.key(thing=target.victim))


@attack(_OWN_UPDATES)
def write_under_names_like_its_own(target: Target) -> Verdict:
    """Write updates of things whose names begin or end with its own."""
    thing = target.member.thing
    return _writes(target, *(target.key(thing=name) for name in (f"{thing}-2", f"x-{thing}", f"{thing}{thing}")))


@attack(_OWN_UPDATES)
def write_models(target: Target) -> Verdict:
    """Write the model of the round, the next one, the one that devices download, or their copies."""
    keys = (names.model_key(target.name, number, target.life) for number in (0, 1, 2))
    return _writes(target, *keys, names.bfloat16_key(target.name, 1, target.life))


@attack("no star of DevicePolicy spans a model's place")
def write_below_models(target: Target) -> Verdict:
    """Write objects, and begin uploads, whose keys begin with a model's and end with its own name."""
    end = f"updates/x/{target.member.thing}.safetensors"
    model = names.model_key(target.name, 1, target.life)
    folder = _folder(target)
    return _writes(target, f"{model}/{end}", f"{folder}models/{end}", f"{folder}optimizer/{end}", f"{folder}ema/{end}")


@attack(_OWN_UPDATES)
def write_sums_and_optimizer(target: Target) -> Verdict:
    """Write intermediate sums, the optimizer's state, or the moving average."""
    return _writes(
        target,
        names.partial_key(target.name, 1, "sums", target.life),
        names.optimizer_key(target.name, 1, target.life),
        names.last_updates_key(target.name, 1, target.life),
        names.ema_key(target.name, 1, target.life),
    )


@attack(_OWN_UPDATES)
def write_where_updates_lay(target: Target) -> Verdict:
    """Write an update where earlier versions had them, in which a star spanned models."""
    member = target.member.thing
    return _writes(target, *(names.former_update_key(target.name, 1, t, target.life) for t in (member, target.victim)))


@attack(_OWN_UPDATES)
def encode_paths(target: Target) -> Verdict:
    """Reach another's key by a path that is percent-encoded, once or twice, or has dots, doubled slashes or a NUL."""
    other = target.key(thing=target.victim)
    own_end = f"{target.member.thing}.safetensors"
    folder, _, name = other.rpartition("/")
    paths = (
        f"{folder}%2F{name}",
        other.replace("/", "%2f"),
        f"{folder}/{own_end}/../{name}",
        f"{folder}/%2e%2e/{name}",
        f"{folder}//{name}",
        f"{folder}/{name}%00.safetensors",
        f"{folder}/{own_end}%2F..%2F{name}",
        f"updates/../{names.model_key(target.name, 1, target.life)}",
        f"updates/%2e%2e/{names.model_key(target.name, 1, target.life)}",
        f"{other}?x=%2F{own_end}",
        f"{other}?versionId=null",
        f"{other};{own_end}",
    )
    return all_of(target.member.requests("PUT", f"/{target.bucket}/{path}", b"1") for path in paths)


@attack(_READ_MODELS)
def read_updates(target: Target) -> Verdict:
    """Read another's update, its own, or ask whether they are there."""
    target.answer()
    own = target.key()
    version = target.uploads(b"late", own)
    member, other = target.member, target.key(thing=target.victim)
    attributes = {"ObjectAttributes": ["ETag"]}
    return all_of(
        verdict
        for where in ({"Key": other}, {"Key": own}, {"Key": own, "VersionId": version})
        for verdict in (
            member.calls("s3", "get_object", Bucket=target.bucket, **where),
            member.calls("s3", "head_object", Bucket=target.bucket, **where),
            member.calls("s3", "get_object_attributes", Bucket=target.bucket, **where, **attributes),
        )
    )


@attack(_READ_MODELS)
def copy_anothers_update(target: Target) -> Verdict:
    """Have S3 copy another's update into its own, at once or as a part."""
    target.answer()
    source = {"Bucket": target.bucket, "Key": target.key(thing=target.victim)}
    member, own = target.member, target.key()
    upload = member.client("s3").create_multipart_upload(Bucket=target.bucket, Key=own)["UploadId"]
    part = {"PartNumber": 1, "UploadId": upload}
    return all_of(
        (
            member.calls("s3", "copy_object", Bucket=target.bucket, Key=own, CopySource=source),
            member.calls("s3", "upload_part_copy", Bucket=target.bucket, Key=own, CopySource=source, **part),
        )
    )


@attack(_NOTHING_ELSE)
def list_the_bucket(target: Target) -> Verdict:
    """List objects, versions, or unfinished uploads."""
    operations = ("list_objects", "list_objects_v2", "list_object_versions", "list_multipart_uploads")
    return all_of(target.member.calls("s3", operation, Bucket=target.bucket) for operation in operations)


@attack(_NOTHING_ELSE)
def delete_objects(target: Target) -> Verdict:
    """Delete models, another's update or its own, or one version."""
    target.answer()
    model = target.arena.operations.federations.get(target.name).model.key
    own = target.key()
    version = target.uploads(b"late", own)
    member, bucket = target.member, target.bucket
    return all_of(
        (
            *(
                member.calls("s3", "delete_object", Bucket=bucket, Key=key)
                for key in (model, own, target.key(thing=target.victim))
            ),
            member.calls("s3", "delete_object", Bucket=bucket, Key=own, VersionId=version),
            member.calls("s3", "delete_objects", Bucket=bucket, Delete={"Objects": [{"Key": own}, {"Key": model}]}),
        )
    )


@attack(_NOTHING_ELSE)
def open_objects_to_the_world(target: Target) -> Verdict:
    """Change the ACL, or the tags, of the model, its own update or another's."""
    model = target.arena.operations.federations.get(target.name).model.key
    target.answer()
    target.uploads(b"late")
    member, tagging = target.member, {"TagSet": [{"Key": "fedgrass", "Value": "kept"}]}
    return all_of(
        verdict
        for key in (model, target.key(), target.key(thing=target.victim))
        for verdict in (
            member.calls("s3", "put_object_acl", Bucket=target.bucket, Key=key, ACL="public-read"),
            member.calls("s3", "put_object_tagging", Bucket=target.bucket, Key=key, Tagging=tagging),
        )
    )


@attack(_NOTHING_ELSE)
def keep_objects_for_ever(target: Target) -> Verdict:
    """Put a legal hold or a retention on objects, or restore them, so that they never expire."""
    target.uploads(b"junk")
    until = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime(2099, 1, 1, tzinfo=UTC)}
    calls: dict[str, dict[str, Any]] = {
        "put_object_legal_hold": {"LegalHold": {"Status": "ON"}},
        "put_object_retention": {"Retention": until},
        "restore_object": {"RestoreRequest": {"Days": 9999}},
    }
    where = {"Bucket": target.bucket, "Key": target.key()}
    return all_of(target.member.calls("s3", name, **where, **more) for name, more in calls.items())


@attack("a signed form has the rights of its signer")
def post_forms(target: Target) -> Verdict:
    """Upload as a browser does, by a form that it has signed for another's key, a model's, or any file's name."""
    own = target.key()
    keys = (
        target.key(thing=target.victim),
        names.model_key(target.name, 1, target.life),
        own.replace(target.member.thing, "${filename}"),
        own.removesuffix(f"{target.member.thing}.safetensors") + "${filename}",
    )
    return all_of(_posts(target, key, f"{target.member.thing}.safetensors/../{target.victim}") for key in keys)


def _posts(target: Target, key: str, file_name: str) -> Verdict:
    form = target.member.client("s3").generate_presigned_post(target.bucket, key)["fields"]
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form.items()]
    file = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\n\r\njunk\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return target.member.requests("POST", f"/{target.bucket}", ("".join(parts) + file).encode(), headers, signed=False)


@attack(_NOTHING_ELSE)
def reconfigure_the_bucket(target: Target) -> Verdict:
    """Change the bucket's policy, versions, expiry, notifications, encryption, or what keeps it from the public."""
    anyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{target.bucket}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [anyone]})
    rule = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    calls: dict[str, dict[str, Any]] = {
        "put_bucket_policy": {"Policy": policy},
        "delete_bucket_policy": {},
        "put_bucket_acl": {"ACL": "public-read"},
        "put_bucket_versioning": {"VersioningConfiguration": {"Status": "Suspended"}},
        "put_bucket_lifecycle_configuration": {"LifecycleConfiguration": {"Rules": [rule]}},
        "put_bucket_notification_configuration": {"NotificationConfiguration": {}},
        "put_bucket_encryption": {"ServerSideEncryptionConfiguration": encryption},
        "delete_public_access_block": {},
        "delete_bucket": {},
        "get_bucket_policy": {},
        "get_bucket_notification_configuration": {},
    }
    return all_of(target.member.calls("s3", name, Bucket=target.bucket, **more) for name, more in calls.items())


@attack("S3 takes signed requests of who is allowed")
def ask_without_a_signature(target: Target) -> Verdict:
    """Read the model and write its update by requests that are not signed, or signed wrongly."""
    model = target.arena.operations.federations.get(target.name).model.key
    member, key = target.member, target.key()
    foreign = {"Signature": "0" * 64, "AWSAccessKeyId": member.credentials.access_key, "Expires": "9999999999"}
    foreign["x-amz-security-token"] = str(member.credentials.token)
    return all_of(
        (
            member.requests("GET", f"/{target.bucket}/{model}", signed=False),
            member.requests("PUT", f"/{target.bucket}/{key}", b"1", signed=False),
            member.requests("GET", f"/{target.bucket}/{model}?{urlencode(foreign)}", signed=False),
        )
    )


@attack("a presigned URL has the rights of its signer, for its key alone")
def presign_requests(target: Target) -> Verdict:
    """Presign reading or writing another's update, or change the key, or the method, of a URL for its own."""
    target.answer()
    member, own, other = target.member, target.key(), target.key(thing=target.victim)

    def url(operation: str, key: str) -> str:
        where = {"Bucket": target.bucket, "Key": key}
        signed = str(member.client("s3").generate_presigned_url(operation, Params=where))
        return signed.removeprefix(target.arena.aws.endpoint)

    model = target.arena.operations.federations.get(target.name).model.key
    return all_of(
        (
            member.requests("GET", url("get_object", other), signed=False),
            member.requests("PUT", url("put_object", other), b"1", signed=False),
            member.requests("PUT", url("put_object", own).replace(own, other), b"1", signed=False),
            member.requests("PUT", url("get_object", model), b"1", signed=False),
        )
    )


@attack("nothing: a member sees every model", documented="Clients see every model")
def read_the_models_of_other_federations(target: Target) -> Verdict:
    """Read the models of federations of the stack in which it takes no part."""
    other = next(f for f in target.arena.operations.federations.all() if f.federation != target.name)
    return target.member.calls("s3", "get_object", Bucket=target.bucket, Key=other.model.key)
