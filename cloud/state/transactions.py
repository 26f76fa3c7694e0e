"""Writes to the tables of which all happen, or none."""

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

TRANSACTION_ITEMS = 100
"""DynamoDB takes no more writes in one transaction."""

FAILED = "ConditionalCheckFailed"
"""What DynamoDB says of a write that its condition has kept from happening."""

_CONFLICT = "TransactionConflict"
_ATTEMPTS = 10


def transact(dynamodb: "DynamoDBClient", writes: "Sequence[TransactWriteItemTypeDef]") -> None:
    """Carry out a transaction; one that met another write of the same item is tried again, a moment later.

    Raises:
        TransactionCanceledException: a condition did not hold (`FAILED`), or there was a conflict again and again.
    """
    for attempt in range(_ATTEMPTS):
        try:
            dynamodb.transact_write_items(TransactItems=writes)
        except dynamodb.exceptions.TransactionCanceledException as error:
            codes = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
            if _CONFLICT not in codes or FAILED in codes or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter
        else:
            return
