"""Whether an update that was accepted should have been, judged independently of the code under test."""

import json
import math
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from cloud.averager.responses.inspection import Inspected
from protocol.encoding_traits import traits_of
from protocol.encodings import BLOCK, SCALES, Coordinates
from protocol.messages import encode
from sandbox.example_updates import ExampleUpdate


def accepted_wrongly(good: ExampleUpdate, data: bytes, inspected: Inspected) -> str | None:
    """Why an update that was accepted should not have been, None if it is good.

    Read by Python's own JSON parser, the format's own library, and whole arrays.
    """
    length = 8 + int.from_bytes(data[:8], "little")
    raw = json.loads(data[8:length])
    metadata = raw.pop("__metadata__")
    expected = {
        tensor.name: {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [tensor.start, tensor.end]}
        for tensor in good.layout.tensors
    }
    if raw != expected or inspected.data_start != length or len(data) != length + good.layout.data_bytes:
        return "its tensors are not the model's"
    if not _says(json.loads(metadata["fedgrass"]), json.loads(encode(inspected.report))):
        return "its report is not what was read of it"
    said, asked = inspected.report, good.report
    if [said.federation, said.round, said.thing, said.base, said.encoding, said.v] != [
        asked.federation, asked.round, asked.thing, asked.base, asked.encoding, asked.v,
    ]:  # fmt: skip
        return "its report is someone else's"
    try:
        tensors = dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        return f"the format's own library does not read it: {error}"
    floats = _decoded(good, tensors)
    buffers = good.layout.floats[len(_parameters(good)) :]
    if not np.isfinite(np.concatenate([floats, *(_floats(tensors[place.name]) for place in buffers)])).all():
        return "it has values that are not finite"
    by_tensor = {place.name: floats[place.start : place.stop] for place in _parameters(good)}
    by_tensor |= {place.name: _floats(tensors[place.name]).astype(np.float64) for place in buffers}
    if any((np.abs(by_tensor[p.name]) > (4096 if p.dtype == "F16" else 2.0**60)).any() for p in good.layout.floats):
        return "it has changes that no training makes"
    integers = {p.name: np.frombuffer(bytes(tensors[p.name]["data"]), "<i8").tolist() for p in good.layout.integers}
    for place in good.layout.integers:
        if any(abs(value) > (1 if place.dtype == "BOOL" else 2**62) for value in integers[place.name]):
            return "it has changes that an integer's type has no room for"
    if inspected.integer_change != max((abs(value) for found in integers.values() for value in found), default=0):
        return f"its largest change of an integer is not {inspected.integer_change}"
    if not math.isclose(inspected.norm, float(np.linalg.norm(floats)), rel_tol=1e-9, abs_tol=1e-300):
        return f"its norm is {np.linalg.norm(floats)}, not {inspected.norm}"
    return None


def _says(text: Any, read: Any) -> bool:
    """Whether all that was read stands in the text, unless it was left out there."""
    if isinstance(read, dict):
        return isinstance(text, dict) and all(_says(text[name], value) for name, value in read.items() if name in text)
    if isinstance(read, float):
        return isinstance(text, int | float) and float(text) == read
    return type(text) is type(read) and bool(text == read)


def _parameters(good: ExampleUpdate) -> tuple[Coordinates, ...]:
    return tuple(place for place in good.layout.floats if place.stop <= good.layout.n_parameters)


def _floats(tensor: dict[str, Any]) -> NDArray[np.float32]:
    return np.frombuffer(bytes(tensor["data"]), "<f4")


def _decoded(good: ExampleUpdate, tensors: dict[str, dict[str, Any]]) -> NDArray[np.float64]:
    """The parameters' coordinates, decoded the plain way."""
    dtype = traits_of(good.layout.encoding).dtype
    raw = b"".join(bytes(tensors[place.name]["data"]) for place in _parameters(good))
    match dtype:
        case "F32":
            floats = np.frombuffer(raw, "<f4")
        case "BF16":
            floats = np.frombuffer(b"".join(b"\0\0" + raw[at : at + 2] for at in range(0, len(raw), 2)), "<f4")
        case _:
            scales = np.frombuffer(bytes(tensors[SCALES]["data"]), "<f4")
            if (scales < 0).any():
                return np.full(1, np.nan)
            with np.errstate(invalid="ignore"):
                floats = np.frombuffer(raw, "i1") * np.repeat(scales, BLOCK)[: len(raw)]
    return floats.astype(np.float64)
