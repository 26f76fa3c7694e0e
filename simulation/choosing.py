"""Which backend computes a simulation soonest: tried out for a second, if it isn't told."""

import math
import os
import time
from collections.abc import Iterable

from cloud.initiator.round_plan import assignment_in, planned
from cloud.settings import Federation
from components.client.trainer.local_update import GlobalModel
from protocol.messages import Timings
from simulation.backend import Done, Work
from simulation.loop import LoopBackend
from simulation.model_store import ModelFiles
from simulation.simulation import beginning

PROBE_S = 1.0

START_S = 6.0
"""How long it takes to start a process that computes: it imports torch."""

_NO_TIME = Timings(accepted_at=0.0, downloaded_at=0.0, trained_at=0.0, uploading_at=0.0, train_s=0.0)


def update_s(loop: LoopBackend, settings: Federation, files: ModelFiles, things: Iterable[str]) -> float:
    """How long a client's update takes in this process, as far as a second tells; infinite if none comes."""
    record = planned(beginning(settings, files, things).federation, 1, (), (), (), 0.0)
    assignment = assignment_in(record)
    parsed = GlobalModel(bytearray(files["bfloat16" if settings.has_bfloat16_copy else "model"]))
    begun, fastest = time.monotonic(), float("inf")
    for thing in things:
        if not isinstance(loop.clients.examples(thing), int):
            continue
        started = time.monotonic()
        done = loop.clients.train(assignment, parsed, Work(thing=thing, timings=_NO_TIME))
        ended = time.monotonic()
        if isinstance(done, Done):
            fastest = min(fastest, ended - started)
        if ended - begun > PROBE_S:
            break
    return fastest


def worth_processes(one_s: float, updates: int, at_once: int) -> int:
    """How many processes compute so many updates sooner than this one alone, `at_once` of them independent of each
    other: 1 if none do."""
    workers = min(len(os.sched_getaffinity(0)), at_once)
    alone_s = one_s * updates
    return workers if workers > 1 and math.isfinite(one_s) and START_S + alone_s / workers < alone_s else 1
