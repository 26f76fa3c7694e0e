"""Whether an update counts: pure checks of bytes from a device, which may be wrong by accident or on purpose."""

import math
from collections.abc import Mapping

import msgspec
import numpy as np

from cloud.state.records import RoundRecord
from protocol.messages import InvalidMessageError, Report, decode
from protocol.names import UpdateName
from protocol.tensors import InvalidTensorsError, SchemaMismatchError, check_schema, load

Schema = Mapping[str, tuple[str, tuple[int, ...]]]

HEADER_ALLOWANCE_BYTES = 1_000_000
"""How much longer than its data an update may be."""

MAX_REPORT_BYTES = 65_536
"""How long a report may be: it is kept in a DynamoDB item, and a batch of them is written in one transaction."""


class RefusedError(Exception):
    """An update that does not count; the text is the reason that is recorded."""


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """What inspection learned of a good update. `norm` is the L2 norm of its floating-point part."""

    report: Report
    norm: float


def check_round(round_record: RoundRecord, name: UpdateName) -> None:
    """Passes if an update of this sender is still wanted.

    Raises:
        RefusedError: the round is not open, or the sender is not in its cohort.
    """
    if round_record.status != "open":
        raise RefusedError(f"late: the round is {round_record.status}")
    if all(member.thing != name.thing for member in round_record.cohort):
        raise RefusedError("not in cohort")


def inspect(data: bytes, name: UpdateName, round_record: RoundRecord, expected: Schema) -> Inspected:
    """Read an update once and check all that the average depends on. `expected` is name -> (dtype, shape).

    Raises:
        RefusedError: malformed, wrong schema, sender mismatch, wrong base, or not finite.
    """
    try:
        header, arrays = load(data)
        check_schema(header, expected)
        message = header.message.encode()
        if len(message) > MAX_REPORT_BYTES:
            raise RefusedError(f"malformed: a report of {len(message)} bytes; at most {MAX_REPORT_BYTES} are allowed")
        report = decode(message, Report)
    except SchemaMismatchError as error:
        raise RefusedError(f"wrong schema: {error}") from error
    except (InvalidTensorsError, InvalidMessageError) as error:
        raise RefusedError(f"malformed: {error}") from error
    claimed = (report.federation, report.round, report.thing)
    if claimed != (name.federation, name.round, name.thing):
        raise RefusedError(f"sender mismatch: the report says {claimed}")
    if report.base != round_record.base.sha256:
        raise RefusedError(f"wrong base: trained from a model with SHA-256 {report.base}")
    square = 0.0
    for tensor, array in arrays.items():
        if array.dtype.kind != "f" or array.size == 0:
            continue
        flat = array.ravel()
        with np.errstate(over="ignore"):
            part = float(np.dot(flat, flat))
        if not math.isfinite(part):
            if not np.isfinite(flat).all():
                raise RefusedError(f"non-finite: tensor {tensor!r}")
            wide = flat.astype(np.float64)
            part = float(np.dot(wide, wide))
        square += part
    return Inspected(report=report, norm=math.sqrt(square))
