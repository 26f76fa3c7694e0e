"""What AWS says when what is asked for is not there."""

from botocore.exceptions import ClientError

_NOT_THERE = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchEntity",
        "NoSuchKey",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "StackNotFoundException",
    }
)


def is_not_there(error: Exception) -> bool:
    """Whether this is an answer: there is no such thing."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _NOT_THERE
