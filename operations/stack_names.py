"""Names that are made of a stack's, and whether AWS takes them."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

_LONGEST_BUCKET = 63  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_OF_CODE = "-code"
_RESERVED = ("xn--", "sthree-", "amzn-s3-demo-")


class UnusableStackNameError(ValueError):
    """No bucket can be named after the stack; the text says what a name may be."""


class StackNames(msgspec.Struct, frozen=True, kw_only=True):
    """A stack, its account, and the buckets that are named after both: the one of the template, and the one that
    CloudFormation takes the functions' packages from."""

    stack: str
    account: str
    bucket: str
    code_bucket: str


def names_of(client: Callable[[str], Any], stack: str) -> StackNames:
    """The names of a stack that there is, or may be. Of all of them the code's bucket has the least room.

    Raises:
        UnusableStackNameError: see there.
    """
    sts = client("sts")
    account, region = str(sts.get_caller_identity()["Account"]), sts.meta.region_name
    names = StackNames(
        stack=stack,
        account=account,
        bucket=f"{stack}-{account}-{region}",
        code_bucket=f"{stack}{_OF_CODE}-{account}-{region}",
    )
    room = _LONGEST_BUCKET - len(names.code_bucket) + len(stack)
    if len(stack) > room or not re.fullmatch(r"[a-z][a-z0-9-]*", stack) or stack.startswith(_RESERVED):
        raise UnusableStackNameError(
            f"a stack {stack!r} can't be made: the bucket {names.code_bucket} is named after it, so it may have a-z, "
            f"0-9 and '-' only, and at most {room} characters here; nor may it begin with {' or '.join(_RESERVED)}, "
            "which S3 keeps for itself"
        )
    if stack.endswith(_OF_CODE):
        raise UnusableStackNameError(
            f"a stack {stack!r} can't be made: the bucket {names.bucket} would be its own, and it is that of the "
            f"functions' packages of stack {stack.removesuffix(_OF_CODE)!r}: choose one without {_OF_CODE} at its end"
        )
    return names
