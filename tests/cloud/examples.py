"""Values that the tests of the functions start from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cloud import settings
from cloud.settings import Federation
from cloud.state.records import ClientRecord, CohortMember, RoundRecord
from protocol.messages import ModelHeader, ModelReference, Report, Timings, encode
from protocol.tensors import Array, Header, dump, load

BASE = ModelReference(key="federations/f/models/00000000.safetensors", sha256="b" * 64, bytes=1000)
TRAINING = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}
TIMINGS = Timings(accepted_at=1.0, downloaded_at=2.0, trained_at=3.0, uploading_at=4.0, train_s=1.0)


def federation(**changes: Any) -> Federation:
    """Settings, as federation.yaml gives them, with some changed."""
    return settings.parse({"name": "f", "training": TRAINING} | changes)


def clients(**turnarounds: float | None) -> list[ClientRecord]:
    """Clients by name, with their average turnarounds."""
    return [ClientRecord(federation="f", thing=thing, turnaround_s=value) for thing, value in turnarounds.items()]


def report(thing: str = "a", **changes: Any) -> Report:
    """What a client says of a good update in round 1."""
    fields: dict[str, Any] = {
        "federation": "f",
        "round": 1,
        "thing": thing,
        "base": BASE.sha256,
        "encoding": "float32",
        "examples": 10,
        "steps": 2,
        "timings": TIMINGS,
    }
    return Report(**fields | changes)


def round_record(*things: str, **changes: Any) -> RoundRecord:
    """An open first round with this cohort."""
    fields: dict[str, Any] = {
        "federation": "f",
        "round": 1,
        "status": "open",
        "settings": federation(),
        "base": BASE,
        "schema": "s",
        "cohort": tuple(CohortMember(thing=thing) for thing in things),
        "target": len(things),
        "quorum": 1,
        "deadline": 2000.0,
        "opened_at": 1000.0,
    }
    return RoundRecord(**fields | changes)


def model_of(
    arrays: Mapping[str, Array], dtypes: Mapping[str, str], buffers: tuple[str, ...] = ()
) -> tuple[Header, dict[str, Array]]:
    """A model's header and tensors, as they are read from S3."""
    about = ModelHeader(federation="f", round=0, buffers=buffers)
    return load(dump(arrays, dtypes, encode(about), buffers))


def update_of(arrays: Mapping[str, Array], about: Report | bytes) -> bytes:
    """An update's file: float tensors in float32, all others in int64."""
    deltas: dict[str, Array] = {}
    for name, array in arrays.items():
        deltas[name] = np.asarray(array, "<f4" if array.dtype.kind == "f" else "<i8")
    dtypes = {name: "F32" if array.dtype.kind == "f" else "I64" for name, array in deltas.items()}
    return dump(deltas, dtypes, about if isinstance(about, bytes) else encode(about))
