"""Two faults for trials/crashes/functions_host.py to have in the functions."""

import os
from collections.abc import Callable
from typing import Any

from botocore import handlers


def with_faults(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Count an update however often it comes, and take each message for one that comes for the first time: what the
    invocation before was to do once the round had closed is not done."""
    handlers.BUILTIN_HANDLERS.append(("provide-client-params.dynamodb.TransactWriteItems", _take_every_response))

    def faulty(event: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        for record in event["Records"]:
            record["attributes"]["ApproximateReceiveCount"] = "1"
        return handle(event, *arguments, **named)

    return faulty


def _take_every_response(params: dict[str, Any], **_: Any) -> None:
    for write in params["TransactItems"]:
        put = write.get("Put", {})
        if put.get("TableName") == os.environ["RESPONSES_TABLE"]:
            for condition in ("ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"):
                put.pop(condition, None)
