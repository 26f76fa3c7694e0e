"""What an update must look like, known from the model it was trained from; remembered between invocations."""

from typing import TYPE_CHECKING

from cloud.averager.inspection import max_bytes
from cloud.state.models import Models
from cloud.state.records import RoundRecord
from protocol.encodings import FLOAT_DTYPES, UpdateLayout, update_layout

if TYPE_CHECKING:
    from protocol.tensors import Header


class Schemas:
    """The layouts of updates. A federation's model has the same tensors in all rounds, so that one read of a model's
    header serves an execution environment for its whole life."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._of_schema: dict[str, str] = {}
        self._of_federation: dict[str, Header] = {}

    def of(self, record: RoundRecord) -> UpdateLayout:
        """The layout of an update to the round's base model, in the round's encoding."""
        # Of another federation the same tensors may be buffers.
        if self._of_schema.get(record.federation) != record.schema:
            self._of_federation[record.federation] = self._models.header(record.base.key)
            self._of_schema[record.federation] = record.schema
        return update_layout(self._of_federation[record.federation], record.settings.encoding)

    def limit_bytes(self, federation: str) -> int | None:
        """How many bytes an update of this federation may have, in whatever encoding; None before its schema is
        known."""
        header = self._of_federation.get(federation)
        return None if header is None else max(max_bytes(update_layout(header, encoding)) for encoding in FLOAT_DTYPES)
