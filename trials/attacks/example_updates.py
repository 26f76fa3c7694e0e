"""The model of the trial's federations, and bytes that pass for updates of it."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol import encodings, tensors
from protocol.encoding_traits import traits_of
from protocol.encodings import Encoded, UpdateLayout, encode_floats, update_layout
from protocol.messages import Encoding, ModelHeader, Report, encode

MODEL: dict[str, NDArray[Any]] = {
    "w": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "<f4"),
    "s": np.array(0x3F80, "<u2"),  # 1.0
    "n": np.array(10, "<i8"),
}
_DTYPES = {"w": "F32", "s": "BF16", "n": "I64"}
_FLOATS = 7


def model_of(federation: str) -> bytes:
    """The file of a federation's initial model."""
    return tensors.dump(MODEL, _DTYPES, encode(ModelHeader(federation=federation, round=0)))


def layout_of(encoding: Encoding = "float32") -> UpdateLayout:
    """What updates look like."""
    return update_layout(tensors.load(model_of("f"))[0], encoding)


def update_of(about: Report | bytes, value: float, counter: int | None = None, encoding: Encoding = "float32") -> bytes:
    """An update that adds `value` to each number, and `counter` to integers; the value rounded, if there is none."""
    return update_with(about, np.full(_FLOATS, value, "<f4"), round(value) if counter is None else counter, encoding)


def update_with(
    about: Report | bytes, floats: NDArray[np.float32], counter: int = 1, encoding: Encoding = "float32"
) -> bytes:
    """An update with these changes of the model's seven numbers, which may be none; and of its integer."""
    layout = layout_of(encoding)
    lossless = Encoded(floats, np.zeros(0, "<f4"), None)
    encoded = encode_floats(layout, floats) if traits_of(encoding).is_lossy else lossless
    message = about if isinstance(about, bytes) else encode(about)
    return encodings.dump(layout, np.array([counter], "<i8"), encoded, message)


def with_report(about: bytes) -> bytes:
    """An update that is good but for its report."""
    return update_of(about, 1.0)


def changed(report: Report, **fields: Any) -> bytes:
    """A report in which fields have values of any kind."""
    return msgspec.json.encode(msgspec.to_builtins(report) | fields)
