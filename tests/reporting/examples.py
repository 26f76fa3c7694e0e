"""Rounds that ended, as a federation's tables have them, to be written into run folders."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from cloud.state.records import ResponseRecord, ResponseState, RoundRecord
from cloud.state.rounds import Responses
from protocol.messages import ModelHeader, ModelReference, Timings, encode
from protocol.tensors import dump
from reporting.run_writer import RunWriter
from tests.cloud.examples import federation, report, round_record

SETTINGS = federation(rounds=20)


def model_of(number: int) -> bytes:
    """The file of the global model of a round."""
    arrays = {"w": np.full((2, 3), number, "<f4"), "half": np.array(0x3F80, "<u2"), "n": np.array([number], "<i8")}
    dtypes = {"w": "F32", "half": "BF16", "n": "I64"}
    return dump(arrays, dtypes, encode(ModelHeader(federation="f", round=number)))


def reference(number: int) -> ModelReference:
    data = model_of(number)
    key = f"federations/f/models/{number:08d}.safetensors"
    return ModelReference(key=key, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def ended(number: int, *things: str, **changes: Any) -> RoundRecord:
    """A round that closed 10 s after it had opened; each opens a second after the one before has ended."""
    opened_at = 1000.0 + 11 * number
    fields: dict[str, Any] = {
        "round": number,
        "status": "closed",
        "base": reference(number - 1),
        "model": reference(number),
        "opened_at": opened_at,
        "averaged_at": opened_at + 9,
        "closed_at": opened_at + 10,
        "accepted": len(things),
        "metrics": {"accuracy_after": 1 - 0.5**number},
    }
    return round_record(*things or ("a", "b"), **(fields | changes))


def update(record: RoundRecord, thing: str, state: ResponseState = "accepted", **changes: Any) -> ResponseRecord:
    """What a client sent 7 s after the round had opened; its own clock says the same as the cloud's."""
    opened_at = record.opened_at
    fields: dict[str, Any] = {
        "thing": thing,
        "state": state,
        "arrived_at": opened_at + 7,
        "inspected_at": opened_at + 8,
        "bytes": 100,
        "norm": 0.5,
        "report": report(
            thing,
            round=record.round,
            before={"accuracy": 0.25},
            after={"accuracy": 0.5},
            timings=timings(opened_at),
        ),
    }
    return ResponseRecord(**fields | changes)


def timings(opened_at: float, **changes: float) -> Timings:
    fields = {
        "accepted_at": opened_at + 2,
        "downloaded_at": opened_at + 3,
        "trained_at": opened_at + 5,
        "uploading_at": opened_at + 6,
        "train_s": 1.5,
    }
    return Timings(**fields | changes)


def outcome(record: RoundRecord, thing: str, state: ResponseState, reason: str) -> ResponseRecord:
    """Word that no update of a client will come."""
    return ResponseRecord(
        thing=thing,
        state=state,
        arrived_at=record.opened_at + 4,
        inspected_at=record.opened_at + 4.5,
        reason=reason,
    )


def answered(record: RoundRecord, *more: ResponseRecord) -> Responses:
    """All clients of the cohort sent their updates, but for those that did something else."""
    others = {response.thing: response for response in more}
    every = [others.pop(m.thing, update(record, m.thing)) for m in record.cohort] + list(others.values())
    return Responses(
        accepted=tuple(r for r in every if r.state == "accepted"),
        failed=tuple(r for r in every if r.state in ("failed", "declined")),
        refused=tuple(r for r in every if r.state == "refused"),
        notified={member.thing: record.opened_at + 1 for member in record.cohort},
    )


def create(path: Path) -> RunWriter:
    return RunWriter.create(path, source="simulate", settings=SETTINGS)


def resume(path: Path, after: int | None = None) -> RunWriter:
    return RunWriter.resume(path, source="simulate", settings=SETTINGS, after=after)


def add(writer: RunWriter, *numbers: int, **changes: Any) -> None:
    """Rounds of these numbers, with their models."""
    for number in numbers:
        record = ended(number, **changes)
        writer.add_round(record, answered(record), model=model_of(number))
