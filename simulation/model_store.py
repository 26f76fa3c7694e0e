"""The files of global models that a simulation still needs, in memory."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from cloud.averager.work.file_names import files_beside, key_of
from cloud.averaging.bfloat16_copy import bfloat16_copy_of
from cloud.averaging.new_model import File
from cloud.settings import Federation
from cloud.state.records import RoundRecord
from protocol import names
from protocol.messages import ModelReference

ModelFiles = Mapping[File, bytes]
"""All that belongs to one global model."""


class ModelStore:
    """Models by the round that made them."""

    def __init__(self, models: Mapping[int, ModelFiles]) -> None:
        self._models = dict(models)

    @property
    def rounds(self) -> list[int]:
        """The rounds whose models are here."""
        return sorted(self._models)

    def files(self, round_number: int) -> ModelFiles:
        """All that belongs to the model of a round."""
        return self._models[round_number]

    def model(self, reference: ModelReference) -> bytes:
        """A model."""
        return self._models[round_of(reference)]["model"]

    def downloaded(self, reference: ModelReference) -> bytes:
        """What devices download of it."""
        return self._models[round_of(reference)]["model" if reference.copy is None else "bfloat16"]

    def average(self, reference: ModelReference) -> bytes:
        """The moving average that a model is referred to with; nothing if there is none."""
        return b"" if reference.average is None else self._models[round_of(reference)]["ema"]

    def add(self, record: RoundRecord, files: ModelFiles) -> ModelReference:
        """Keeps what a round has made; returns how to refer to it."""
        self._models[record.round] = files
        beside = {
            field: _reference(key_of(file, record, record.round), files[file])
            for file, field in files_beside(record.settings).items()
        }
        model = _reference(key_of("model", record, record.round), files["model"])
        return msgspec.structs.replace(model, **beside)

    def keep(self, references: Iterable[ModelReference]) -> None:
        """Drops all models but these."""
        wanted = {round_of(reference) for reference in references}
        self._models = {number: files for number, files in self._models.items() if number in wanted}


def initial_files(settings: Federation, model: bytes) -> ModelFiles:
    """The files of an initial model."""
    if settings.has_bfloat16_copy:
        return {"model": model, "bfloat16": bfloat16_copy_of(model)}
    return {"model": model}


def first_reference(federation: str, files: ModelFiles) -> ModelReference:
    """How to refer to the initial model of a federation."""
    model = _reference(names.model_key(federation, 0), files["model"])
    if "bfloat16" not in files:
        return model
    return msgspec.structs.replace(model, copy=_reference(names.bfloat16_key(federation, 0), files["bfloat16"]))


def round_of(reference: ModelReference) -> int:
    """The round that made a model."""
    return names.parse_model_key(reference.key).round


def _reference(key: str, data: bytes) -> ModelReference:
    return ModelReference(key=key, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
