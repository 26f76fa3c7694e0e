"""What an update must look like, known from the model it was trained from; remembered between invocations."""

import math

from cloud.averager.inspection import HEADER_ALLOWANCE_BYTES, Schema
from cloud.state.models import Models
from cloud.state.records import RoundRecord
from protocol.tensors import DTYPES, update_schema


class Schemas:
    """The schemas of updates. A federation's is the same in all rounds, so that one read of a model's header serves
    an execution environment for its whole life."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._known: dict[str, Schema] = {}
        self._of_federation: dict[str, Schema] = {}

    def of(self, record: RoundRecord) -> Schema:
        """Name -> (dtype, shape) of an update to the round's base model."""
        if record.schema not in self._known:
            self._known[record.schema] = update_schema(self._models.header(record.base.key))
        self._of_federation[record.federation] = self._known[record.schema]
        return self._known[record.schema]

    def limit_bytes(self, federation: str) -> int | None:
        """How many bytes an update of this federation may have; None before its schema is known."""
        schema = self._of_federation.get(federation)
        if schema is None:
            return None
        data = sum(math.prod(shape) * DTYPES[dtype].itemsize for dtype, shape in schema.values())
        return data + HEADER_ALLOWANCE_BYTES
