"""The models that late updates were trained from: to know the values that they have, of buffers and of integers, they
are read again. Nothing is read for updates that were trained from the present model, nor of models without such values.
"""

import logging
from collections.abc import Sequence

from cloud.averager.work.sources import other_bases, with_bases
from cloud.averaging.accepted_updates import AcceptedUpdate, S3Object
from cloud.averaging.rebasing import Base
from cloud.log_lines import about
from cloud.services import Services
from cloud.state.models import MissingObjectError
from cloud.state.records import RoundRecord
from cloud.state.rounds import UnknownRoundError
from protocol.encodings import UpdateLayout
from protocol.messages import ModelReference
from protocol.tensors import FLOATING, InvalidTensorsError, TensorSpec, header_length, parse_header

_log = logging.getLogger(__name__)

_HEAD_BYTES = 65_536
"""So much of a model is read at once: its header, and all of it if it is small."""


class _UnusableBaseError(Exception):
    """What is there is not the model that updates were trained from."""


def bases_of(
    services: Services, record: RoundRecord, sources: Sequence[AcceptedUpdate], layout: UpdateLayout, present: Base
) -> tuple[tuple[AcceptedUpdate, ...], tuple[Base, ...]]:
    """The updates of a round, each with its base; and these bases, of which the present model is the first."""
    others = other_bases(record, sources, layout)
    if not others:
        return tuple(sources), (present,)
    found = services.parallel.map(
        lambda other: _find(services, record, sha256=other[0], round_number=other[1], present=present), others.items()
    )
    bases, places = [present], {record.base.downloaded.sha256: 0}
    for base, sha256 in zip(found, others, strict=True):
        if base is not None:
            places[sha256] = len(bases)
            bases.append(base)
    return with_bases(sources, places), tuple(bases)


def _find(services: Services, record: RoundRecord, *, sha256: str, round_number: int, present: Base) -> Base | None:
    """The model that the devices of a round downloaded, None if it can't be read any more."""
    try:
        return _open(services, services.rounds.get(record.federation, round_number).base.downloaded, sha256, present)
    except (UnknownRoundError, MissingObjectError, InvalidTensorsError, _UnusableBaseError) as error:
        _log.warning(
            "values of updates to round %d are left out: %s",
            round_number,
            error,
            extra=about(record.federation, record.round),
        )
        return None


def _open(services: Services, model: ModelReference, sha256: str, present: Base) -> Base:
    if model.sha256 != sha256:
        raise _UnusableBaseError(f"{model.key} has SHA-256 {model.sha256}, not {sha256}")
    head = services.models.beginning(model, _HEAD_BYTES)
    if (length := header_length(head)) > len(head):
        head = services.models.range(model.key, 0, length)
    header = parse_header(head, model.bytes)
    tensors = header.by_name
    for name, tensor in present.tensors.items():
        if name not in tensors or not _is_alike(tensors[name], tensor):
            raise _UnusableBaseError(f"{model.key} has another tensor {name!r}")
    return Base(S3Object(key=model.key, data_start=header.length, head=head), tensors)


def _is_alike(one: TensorSpec, other: TensorSpec) -> bool:
    # A bfloat16 copy may have a number in fewer bytes than its model.
    return one.shape == other.shape and (one.dtype in FLOATING) == (other.dtype in FLOATING)
