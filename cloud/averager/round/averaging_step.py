"""What the holder of a round's lease does: shard, hand out jobs, do all alone, or complete what jobs have written."""

import time

import msgspec

from cloud.averager.round.closing import notice_of, remember
from cloud.averager.round.round_end import averaged
from cloud.averager.work.inputs import Inputs
from cloud.averager.work.jobs import Averager
from cloud.averager.work.model_files import read_back
from cloud.averager.work.sharding import sharding_of
from cloud.services import Services
from cloud.state.lifecycle import Averaged, Sharded
from cloud.state.records import RoundRecord, Work
from cloud.state.rounds import ROOM_AT_END
from protocol.messages import AverageShard


def average(services: Services, inputs: Inputs, owner: str) -> Sharded | Averaged | None:
    """Do what is next in averaging a round, under a lease of `owner`'s. Returns what that makes happen; None if others
    have to do their jobs first."""
    record, averager = inputs.record, Averager(services, inputs)
    if record.work is None:
        parts, update_bytes = len(inputs.grid.parts), inputs.layout.data_bytes
        work = sharding_of(record.settings.averaging, parts, update_bytes, len(inputs.sources)).work
        if work is not None:
            return Sharded(owner, msgspec.structs.replace(work, uploads=averager.begin_uploads()))
    elif record.work.present is not None:
        _hand_out(services, record, record.work)
        return None
    return _complete(services, inputs, averager, owner)


def _hand_out(services: Services, record: RoundRecord, work: Work) -> None:
    # What one invocation averages is over before anyone has read that it is averaged: that is not told.
    telling = services.parallel.submit(services.notices.publish, notice_of(record))
    federation, life, number = record.federation, record.life, record.round
    services.notices.hand_out(
        AverageShard(federation=federation, life=life, round=number, stage=work.stage, job=job)
        for job in work.open_jobs
    )
    telling.result()


def _complete(services: Services, inputs: Inputs, averager: Averager, owner: str) -> Averaged:
    """Make the new model, or complete it if jobs have written it."""
    record, responses = inputs.record, inputs.responses
    # What has no room in the transaction that ends the round.
    remembering = services.parallel.submit(remember, services, record, record.cohort[ROOM_AT_END:], responses)
    if record.work is None:
        model = averager.do_all()
    else:
        averager.complete_uploads(record.work.uploads)
        model = read_back(services, record, inputs.grid)
    averager.note_last_updates()
    averaged_at = time.time()
    remembering.result()
    return averaged(record, responses, owner=owner, model=model, warnings=averager.warnings, averaged_at=averaged_at)
