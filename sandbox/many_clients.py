"""Records of clients that never were: a large fleet in the clients table, without hellos."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cloud.state.places import place_of
from cloud.state.records import ClientRecord, to_item

_AT_ONCE = 25
"""DynamoDB takes no more items in one call."""


def put_clients(dynamodb: Any, table: str, clients: Sequence[ClientRecord], *, placed: bool = True) -> None:
    """Put these records into the table; those of an earlier version are not `placed`."""
    with ThreadPoolExecutor(4) as pool:
        batches = (clients[start : start + _AT_ONCE] for start in range(0, len(clients), _AT_ONCE))
        list(pool.map(lambda batch: _put(dynamodb, table, batch, placed=placed), batches))


def _put(dynamodb: Any, table: str, clients: Iterable[ClientRecord], *, placed: bool) -> None:
    wanted = {
        table: [
            {"PutRequest": {"Item": to_item(one, **({"place": place_of(one.federation, one.thing)} if placed else {}))}}
            for one in clients
        ]
    }
    while wanted:
        wanted = dynamodb.batch_write_item(RequestItems=wanted)["UnprocessedItems"]
