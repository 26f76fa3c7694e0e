"""Updates to measure and mutate: what a device would have sent of a model of some schema."""

from collections.abc import Mapping

import msgspec
import numpy as np

from cli.settings.parsing import parse
from cloud.state.records import CohortMember, RoundRecord
from protocol import encodings, names
from protocol.encodings import UpdateLayout, update_layout
from protocol.messages import Encoding, ModelHeader, ModelReference, Report, Timings, encode
from protocol.names import UpdateName
from protocol.tensors import encode_header, layout, parse_header

_BASE = "b" * 64


class ExampleUpdate(msgspec.Struct, frozen=True):
    """A good update, and all that inspection needs to know of it."""

    name: UpdateName
    record: RoundRecord
    layout: UpdateLayout
    report: Report
    data: bytes


def example_update(
    schema: Mapping[str, tuple[str, tuple[int, ...]]], encoding: Encoding, seed: int = 0, buffers: tuple[str, ...] = ()
) -> ExampleUpdate:
    """An update of normally distributed differences to a model of this schema, name -> (dtype, shape), of which these
    are buffers."""
    tensors = layout(schema, buffers)
    first = encode_header(tensors, encode(ModelHeader(federation="example", round=0, buffers=buffers)))
    where = update_layout(parse_header(first, len(first) + (tensors[-1].end if tensors else 0)), encoding)
    name = UpdateName("example", 1, "device")
    times = Timings(accepted_at=1.0, downloaded_at=2.0, trained_at=3.0, uploading_at=4.0, train_s=1.0)
    report = Report(
        federation=name.federation,
        round=name.round,
        thing=name.thing,
        base=_BASE,
        encoding=encoding,
        examples=100,
        steps=10,
        before={"loss": 2.3},
        after={"loss": 0.4, "accuracy": 0.9},
        timings=times,
    )
    generator = np.random.default_rng(seed)
    floats = generator.standard_normal(where.n_float, np.float32)
    integers = generator.integers(-1, 2, where.n_int, np.int64)  # what a boolean can change by
    return ExampleUpdate(
        name=name,
        record=_record(name, encoding),
        layout=where,
        report=report,
        data=encodings.dump(where, integers, encodings.encode_floats(where, floats), encode(report)),
    )


def _record(name: UpdateName, encoding: Encoding) -> RoundRecord:
    settings = {
        "name": name.federation,
        "encoding": encoding,
        "training": {"steps": 1, "batch_size": 1, "learning_rate": 0.1},
    }
    return RoundRecord(
        federation=name.federation,
        round=name.round,
        status="open",
        settings=parse(settings),
        base=ModelReference(key=names.model_key(name.federation, 0), sha256=_BASE, bytes=1),
        schema="example",
        cohort=(CohortMember(thing=name.thing),),
        target=1,
        quorum=1,
        deadline=2000.0,
        opened_at=1000.0,
    )
