"""What an update must look like, known from the model it was trained from; remembered between invocations."""

from typing import TYPE_CHECKING, get_args

from cloud.averager.responses.inspection import max_bytes
from cloud.state.federations import Federations
from cloud.state.models import MissingObjectError, Models
from cloud.state.records import FederationRecord, RoundRecord
from protocol.encodings import EVALUATION, UpdateLayout, update_layout
from protocol.messages import Encoding

if TYPE_CHECKING:
    from protocol.tensors import Header


class Schemas:
    """The layouts of updates. A federation's model has the same tensors in all rounds of a life, so that one read of a
    model's header serves an execution environment as long as it lasts."""

    def __init__(self, models: Models, federations: Federations) -> None:
        self._models = models
        self._federations = federations
        self._of_schema: dict[tuple[str, str], str] = {}
        self._of_federation: dict[tuple[str, str], Header] = {}

    def of(self, record: RoundRecord) -> UpdateLayout:
        """The layout of an update to the round's base model, in the round's encoding; or of an evaluation of it."""
        if record.evaluates:
            return EVALUATION
        return update_layout(self.header(record), record.settings.encoding)

    def limit_bytes(self, federation: str, life: str) -> int | None:
        """How many bytes an update of this life of a federation may have, in whatever encoding; None before its schema
        is known."""
        header = self._of_federation.get((federation, life))
        return None if header is None else _limit_bytes(header)

    def limit_of(self, record: FederationRecord | RoundRecord) -> int:
        """As `limit_bytes`, of a federation that is known by its record, or by that of a round."""
        return _limit_bytes(self.header(record))

    def header(self, record: FederationRecord | RoundRecord) -> "Header":
        """The header of a model with these tensors.

        Raises:
            MissingObjectError: there is none any more.
        """
        # Of another federation, or in another life, the same tensors may be buffers.
        of_life = record.federation, record.life
        if self._of_schema.get(of_life) != record.schema:
            self._of_federation[of_life] = self._read(record)
            self._of_schema[of_life] = record.schema
        return self._of_federation[of_life]

    def _read(self, record: FederationRecord | RoundRecord) -> "Header":
        if isinstance(record, FederationRecord):
            return self._models.header(record.model.key)
        try:
            return self._models.header(record.base.key)
        except MissingObjectError:
            # An old model may have been removed since; an update to it may still come.
            present = self._federations.get(record.federation)
            if (present.life, present.schema) != (record.life, record.schema):
                raise
            return self._models.header(present.model.key)


def _limit_bytes(header: "Header") -> int:
    return max(max_bytes(update_layout(header, encoding)) for encoding in get_args(Encoding))
