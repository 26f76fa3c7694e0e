"""A round as it is averaged, from what is on record of its updates and from their files in memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloud.averager.work.sources import accepted_updates, last_updates_for, other_bases, with_bases
from cloud.averaging.accepted_updates import S3Object
from cloud.averaging.last_updates import LastUpdates
from cloud.state.records import ResponseRecord, RoundRecord
from protocol.encodings import UpdateLayout
from simulation.averaging import Round
from simulation.model_store import ModelStore, round_of


def in_memory(
    record: RoundRecord,
    counting: Sequence[ResponseRecord],
    updates: Mapping[str, bytes],
    layout: UpdateLayout,
    models: ModelStore,
    bases: Mapping[int, RoundRecord],
    custom_average: Callable[..., Any] | None,
    last: LastUpdates | None,
) -> Round:
    """The round that averages the responses that count, in the order of the things' names, with the clients' `last`
    updates before it; `updates` has the files of both by key. `bases` are the rounds that sent out another model than
    this one."""
    settings = record.settings
    sources = tuple(
        accepted_updates(
            record,
            counting,
            lambda response: S3Object(key=response.key or "", data_start=response.data_start),
        )
    )
    others = other_bases(record, sources, layout)
    if others:
        places = {sha256: place for place, sha256 in enumerate([record.base.downloaded.sha256, *others])}
        sources = with_bases(sources, places)
    before = dict(models.files(round_of(record.base)))
    present = before.pop("model")
    before.pop("bfloat16", None)
    return Round(
        present,
        [(source, memoryview(updates[source.stored.key])[source.stored.data_start :]) for source in sources],
        settings.averaging,
        settings.training,
        before=before,
        has_bfloat16=settings.has_bfloat16_copy,
        bases=[models.downloaded(bases[number].base) for number in others.values()],
        last=last_updates_for(record, last),
        last_files=updates,
        custom_average=custom_average,
        number=record.round,
    )
