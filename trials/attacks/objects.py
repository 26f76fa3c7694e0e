"""Attacks by objects that the member may store: that can't be read, are no update, or are more than one."""

import gzip

from botocore.exceptions import ClientError

from protocol import names
from sandbox.polling import eventually
from trials.attacks.attack import BESIDE, Verdict, accepted, all_of, attack, refused
from trials.attacks.example_updates import update_of
from trials.attacks.target import Target

_WASTE = "A client can waste"


def _versions(target: Target, key: str) -> list[str]:
    answer = target.arena.aws.client("s3").list_object_versions(Bucket=target.bucket, Prefix=key)
    return [version["VersionId"] for version in answer.get("Versions", []) if version["Key"] == key]


def _deleted(target: Target, *keys: str) -> Verdict:
    """Refused, when nothing is left of what was stored under these keys."""
    eventually(lambda: not any(_versions(target, key) for key in keys), f"{keys} to be deleted")
    return refused("deleted")


@attack("a key is an update's only if all of it is; what else lies there is deleted")
def end_a_path_with_its_own_name(target: Target) -> Verdict:
    """Store an object whose key has another's update in it, and ends as the policy asks."""
    folder = target.key().rpartition("/")[0]
    own_end, other = f"{target.member.thing}.safetensors", f"{target.victim}.safetensors"
    keys = (
        f"{folder}/{other}/{own_end}",
        f"{folder}/{other}/../{own_end}",
        f"{folder}/{other}%2F../{own_end}",
        f"updates/{other}/{own_end}",
        f"updates/F F+/\u0661/{own_end}",
        f"updates/{target.name}/{target.life}/1/{own_end}",
        names.update_key("made-up", 1, target.member.thing),
    )
    for key in keys:
        target.uploads(update_of(target.report(thing=target.victim), 1e6), key)
    return _deleted(target, *keys)


@attack("another tensors' file is no update: 'malformed'")
def copy_a_model_as_its_update(target: Target) -> Verdict:
    """Have S3 copy the global model into its own update."""
    reference = target.arena.operations.federations.get(target.name).model
    source = {"Bucket": target.bucket, "Key": reference.key}
    answer = target.member.client("s3").copy_object(Bucket=target.bucket, Key=target.key(), CopySource=source)
    return target.refused_for("malformed", answer["VersionId"])


@attack("the bucket takes no ACL")
def open_its_update_to_the_world(target: Target) -> Verdict:
    """Store its own update with an ACL that lets the world, or another account, read it."""
    s3 = target.member.client("s3")
    for acl in ("public-read", "public-read-write", "authenticated-read"):
        try:
            s3.put_object(Bucket=target.bucket, Key=target.key(), Body=b"1", ACL=acl)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessControlListNotSupported":
                raise
        else:
            return accepted(f"S3 has taken {acl}")
    return refused("s3: AccessControlListNotSupported")


@attack("DevicePolicy allows STANDARD; S3 won't give it back, and that update alone is refused")
def store_in_an_archive(target: Target) -> Verdict:
    """Store an update in a class out of which S3 gives it back after hours, so that the batch that reads it fails."""
    return all_of(
        target.refuses(update_of(target.report(), 1.0), "InvalidObjectState", StorageClass=name)
        for name in ("DEEP_ARCHIVE", "GLACIER")
    )


@attack("DevicePolicy and BucketPolicy deny it; S3 won't give it back, and that update alone is refused")
def encrypt_with_its_own_key(target: Target) -> Verdict:
    """Store an update encrypted with a key that the averager has not (SSE-C)."""
    own_key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    verdict = target.member.calls("s3", "put_object", Bucket=target.bucket, Key=target.key(), Body=b"1", **own_key)
    if not verdict.accepted:
        return verdict
    eventually(lambda: target.responses_to(1).refused, "the first to be refused: of a member's the last is recorded")
    return target.refuses(update_of(target.report(), 1.0), "InvalidRequest", **own_key)


@attack("DevicePolicy and BucketPolicy deny it")
def encrypt_with_a_key_of_its_choice(target: Target) -> Verdict:
    """Store an update encrypted with a KMS key of its choice, at once or in parts."""
    arn = "arn:aws:kms:us-east-1:111111111111:key/elsewhere"
    return all_of(
        target.member.calls("s3", operation, Bucket=target.bucket, Key=target.key(), **body, **headers)
        for headers in (
            {"ServerSideEncryption": "aws:kms"},
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": arn},
            {"ServerSideEncryption": "aws:kms:dsse"},
        )
        for operation, body in (("put_object", {"Body": b"1"}), ("create_multipart_upload", {}))
    )


@attack("nothing is decompressed: 'malformed'")
def send_a_bomb(target: Target) -> Verdict:
    """Send 20 MB that gzip makes small, and say so in Content-Encoding, so that the averager unpacks them."""
    return target.refuses(gzip.compress(bytes(20_000_000)), "malformed", ContentEncoding="gzip")


@attack("of what an object says of itself nothing is read", BESIDE)
def lie_in_an_objects_headers(target: Target) -> Verdict:
    """Send an update with headers that call it something else: gzip, HTML, a redirect, another's metadata."""
    body = update_of(target.report(), 3.0)
    target.uploads(
        body,
        ContentEncoding="gzip",
        ContentType="text/html",
        ContentDisposition='attachment; filename="../../x"',
        CacheControl="no-store, max-age=-1",
        WebsiteRedirectLocation="https://127.0.0.1/elsewhere",
        Metadata={"thing": target.victim, "examples": "9" * 300},
    )
    found = target.counted()
    ours = (found.thing, found.report and found.report.examples, found.bytes)
    expected = (target.member.thing, 10, len(body))
    return refused("its bytes count, and nothing else") if ours == expected else accepted(f"counted as {ours}")


@attack("the version that was inspected is the one that is averaged", BESIDE)
def change_an_update_after_its_inspection(target: Target) -> Verdict:
    """Overwrite the update once it has passed, by one that would not have, and by one that steers elsewhere."""
    version = target.join()
    target.counted()
    target.uploads(b"\xff" * 200)
    target.uploads(update_of(target.report(), -1e15))
    target.settled()
    counted = target.counted().version_id
    return refused("the first one counts") if counted == version else accepted("another version counts")


@attack("one larger than any update is deleted when S3 tells of it; counted; an alarm")
def store_large_objects(target: Target) -> Verdict:
    """Store objects of megabytes as its update, at once or in parts, and as those of rounds to come."""
    keys = (target.key(), target.key(7), target.key(8))
    for key in keys:
        target.uploads(b"x" * 3_000_000, key)
    s3, in_parts = target.member.client("s3"), {"Bucket": target.bucket, "Key": target.key(9)}
    upload = in_parts | {"UploadId": s3.create_multipart_upload(**in_parts)["UploadId"]}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=b"x" * size)["ETag"]}
        for number, size in ((1, 5 << 20), (2, 1))
    ]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    return _deleted(target, *keys, target.key(9))


@attack("unfinished uploads expire after a day", documented=_WASTE)
def leave_uploads_unfinished(target: Target) -> Verdict:
    """Begin uploads in parts that it never completes, of which no event tells."""
    s3 = target.member.client("s3")
    for _ in range(3):
        upload = s3.create_multipart_upload(Bucket=target.bucket, Key=target.key())["UploadId"]
        s3.upload_part(Bucket=target.bucket, Key=target.key(), UploadId=upload, PartNumber=1, Body=b"x" * 100_000)
    return accepted("S3 keeps the parts for a day")
