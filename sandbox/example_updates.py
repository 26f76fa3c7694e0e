"""Updates to inspect, measure and mutate: what a device would have sent of a model of some schema."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from cloud.settings import Federation, LocalTraining
from cloud.state.records import CohortMember, RoundRecord
from protocol import encodings
from protocol.encodings import UpdateLayout, update_layout
from protocol.messages import Encoding, ModelHeader, ModelReference, Report, Timings, encode
from protocol.names import UpdateName
from protocol.tensors import encode_header, layout, parse_header

BASE = ModelReference(key="federations/f/models/00000000.safetensors", sha256="b" * 64, bytes=1000)
TIMINGS = Timings(accepted_at=1.0, downloaded_at=2.0, trained_at=3.0, uploading_at=4.0, train_s=1.0)


class ExampleUpdate(msgspec.Struct, frozen=True):
    """A good update, and all that inspection needs to know of it."""

    name: UpdateName
    record: RoundRecord
    layout: UpdateLayout
    report: Report
    data: bytes


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
        "settings": Federation(name="f", training=LocalTraining(epochs=1, batch_size=8, learning_rate=0.1)),
        "base": BASE,
        "schema": "s",
        "cohort": tuple(CohortMember(thing=thing) for thing in things),
        "target": len(things),
        "quorum": 1,
        "deadline": 2000.0,
        "opened_at": 1000.0,
    }
    return RoundRecord(**fields | changes)


def example_update(
    schema: Mapping[str, tuple[str, tuple[int, ...]]], encoding: Encoding, seed: int = 0, buffers: tuple[str, ...] = ()
) -> ExampleUpdate:
    """An update of normally distributed differences to a model of this schema, name -> (dtype, shape), of which these
    are buffers."""
    tensors = layout(schema, buffers)
    first = encode_header(tensors, encode(ModelHeader(federation="f", round=0, buffers=buffers)))
    where = update_layout(parse_header(first, len(first) + (tensors[-1].end if tensors else 0)), encoding)
    record = round_record("device")
    about = report(
        "device",
        encoding=encoding,
        examples=100,
        steps=10,
        before={"loss": 2.3},
        after={"loss": 0.4, "accuracy": 0.9},
    )
    generator = np.random.default_rng(seed)
    floats = generator.standard_normal(where.n_float, np.float32)
    integers = generator.integers(-1, 2, where.n_int, np.int64)  # what a boolean can change by
    return ExampleUpdate(
        name=UpdateName(about.federation, about.round, about.thing),
        record=msgspec.structs.replace(record, settings=msgspec.structs.replace(record.settings, encoding=encoding)),
        layout=where,
        report=about,
        data=encodings.dump(where, integers, encodings.encode_floats(where, floats), encode(about)),
    )
