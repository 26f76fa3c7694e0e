"""What an update must look like, known from the model it was trained from; remembered between invocations."""

from typing import TYPE_CHECKING

from cloud.averager.inspection import max_bytes
from cloud.state.models import Models
from cloud.state.records import RoundRecord
from protocol.encodings import FLOAT_DTYPES, UpdateLayout, update_layout

if TYPE_CHECKING:
    from protocol.tensors import Header


class Schemas:
    """The layouts of updates. A federation's model has the same tensors in all rounds of a life, so that one read of a
    model's header serves an execution environment as long as it lasts."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._of_schema: dict[tuple[str, str], str] = {}
        self._of_federation: dict[tuple[str, str], Header] = {}

    def of(self, record: RoundRecord) -> UpdateLayout:
        """The layout of an update to the round's base model, in the round's encoding."""
        # Of another federation, or in another life, the same tensors may be buffers.
        of_life = record.federation, record.life
        if self._of_schema.get(of_life) != record.schema:
            self._of_federation[of_life] = self._models.header(record.base.key)
            self._of_schema[of_life] = record.schema
        return update_layout(self._of_federation[of_life], record.settings.encoding)

    def limit_bytes(self, federation: str, life: str) -> int | None:
        """How many bytes an update of this life of a federation may have, in whatever encoding; None before its schema
        is known."""
        header = self._of_federation.get((federation, life))
        return None if header is None else max(max_bytes(update_layout(header, encoding)) for encoding in FLOAT_DTYPES)
