"""Values that the tests of the functions start from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cli.settings.parsing import parse
from cloud.settings import Federation
from cloud.state.records import ClientRecord
from protocol import encodings
from protocol.encoding_traits import traits_of
from protocol.encodings import Encoded, UpdateLayout, encode_floats, update_layout
from protocol.messages import Encoding, ModelHeader, Report, encode
from protocol.tensors import Array, Header, TensorSpec, dump, load
from sandbox.example_updates import BASE as BASE
from sandbox.example_updates import report as report
from sandbox.example_updates import round_record as round_record

TRAINING = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}


def federation(**changes: Any) -> Federation:
    """Settings, as federation.yaml gives them, with some changed."""
    return parse({"name": "f", "training": TRAINING} | changes)


def clients(**turnarounds: float | None) -> list[ClientRecord]:
    """Clients by name, with their average turnarounds."""
    return [ClientRecord(federation="f", thing=thing, turnaround_s=value) for thing, value in turnarounds.items()]


def model_of(
    arrays: Mapping[str, Array], dtypes: Mapping[str, str], buffers: tuple[str, ...] = ()
) -> tuple[Header, dict[str, Array]]:
    """A model's header and tensors, as they are read from S3."""
    about = ModelHeader(federation="f", round=0, buffers=buffers)
    return load(dump(arrays, dtypes, encode(about), buffers))


def layout_of(
    arrays: Mapping[str, Array], encoding: Encoding = "float32", buffers: tuple[str, ...] = ()
) -> UpdateLayout:
    """The layout of updates to a model whose file has tensors of these shapes in this order: of float32 for each float
    array, of int64 for all others."""
    tensors = (TensorSpec(name, "F32" if a.dtype.kind == "f" else "I64", a.shape, 0, 0) for name, a in arrays.items())
    about = ModelHeader(federation="f", round=0, buffers=buffers)
    return update_layout(Header(tuple(tensors), 0, encode(about).decode()), encoding)


def update_of(arrays: Mapping[str, Array], about: Report | bytes, buffers: tuple[str, ...] = ()) -> bytes:
    """An update's file, in the report's encoding; in float32 it may have values that are not finite. The order of the
    arrays is that of the model's file; `buffers` are those that are no parameters."""
    layout = layout_of(arrays, about.encoding if isinstance(about, Report) else "float32", buffers)
    flat = {name: arrays[name].reshape(-1) for name in arrays}
    floats = np.concatenate([np.zeros(0, "<f4"), *(flat[tensor.name] for tensor in layout.floats)], dtype="<f4")
    integers = np.concatenate([np.zeros(0, "<i8"), *(flat[tensor.name] for tensor in layout.integers)], dtype="<i8")
    if traits_of(layout.encoding).is_lossy:
        encoded = encode_floats(layout, floats)
    else:
        parameters, of_buffers = np.split(floats, [layout.n_parameters])
        encoded = Encoded(parameters, np.zeros(0, "<f4"), None, of_buffers)
    return encodings.dump(layout, integers, encoded, about if isinstance(about, bytes) else encode(about))
