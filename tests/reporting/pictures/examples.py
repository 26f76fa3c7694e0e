"""Runs to be pictured, by nothing but the numbers of their devices and rounds."""

import random
from typing import Any

import msgspec

from reporting.pictures.recorded_run import Costs, RecordedRun
from reporting.records import STEPS, ClientRow, ClientState, RoundLine, SavedModel, Summary, Versions
from reporting.summarizing import Tally
from tests.cloud.examples import federation

METRICS = ("accuracy_before", "accuracy_after", "loss_before", "loss_after")


def run_of(devices: int = 4, rounds: int = 5, metrics: tuple[str, ...] = METRICS, name: str = "device") -> RecordedRun:
    """A run with numbers that have all their digits, as those of a real one; the same each time."""
    generator = random.Random(7)  # noqa: S311 - examples
    rows = [
        row(number, f"{name}-{device:03d}", generator, metrics)
        for number in range(1, rounds + 1)
        for device in range(devices)
    ]
    lines, ended_at = [], 1_700_000_000.0
    for number in range(1, rounds + 1):
        split = {step: generator.uniform(0.1, 9) for step in STEPS}
        ended_at += sum(split.values())
        lines.append(
            line(
                number,
                ended_at,
                split,
                metrics={metric: generator.random() for metric in metrics},
                held_out={"accuracy": generator.random()},
                bytes_down=generator.randrange(10**7),
                bytes_up=generator.randrange(10**6),
            )
        )
    return of_records(lines, rows)


def row(number: int, client: str, generator: random.Random, metrics: tuple[str, ...] = METRICS) -> ClientRow:
    """A row in which everything is known."""
    state: ClientState = generator.choice(("accepted", "accepted", "accepted", "failed", "refused"))
    return ClientRow(
        round=number,
        client=client,
        state=state,
        reason=None if state == "accepted" else "task.py: out of memory",
        examples=generator.randrange(1000),
        steps=generator.randrange(100),
        bytes=generator.randrange(10**6),
        norm=generator.random(),
        turnaround_s=generator.uniform(1, 99),
        wait_s=generator.random(),
        download_s=generator.random(),
        train_s=generator.uniform(1, 99),
        upload_s=generator.random(),
        inspect_s=generator.random(),
        train_alone_s=generator.uniform(1, 99),
        metrics={metric: generator.random() for metric in metrics},
    )


def line(number: int, ended_at: float, split: dict[str, float], **changes: Any) -> RoundLine:
    """A round that its `split` took."""
    fields: dict[str, Any] = {
        "round": number,
        "status": "closed",
        "opened_at": ended_at - sum(split.values()),
        "ended_at": ended_at,
        "round_s": sum(split.values()),
        "split": split,
        "cohort": 4,
        "target": 3,
        "quorum": 2,
        "accepted": 3,
        "learning_rate": 0.1,
        "model_sha256": "0" * 64,
    }
    return RoundLine(**fields | changes)


def of_records(lines: list[RoundLine], rows: list[ClientRow], **changes: Any) -> RecordedRun:
    """The run of these records; `changes` are those of its summary."""
    tally = Tally()
    for one in lines:
        tally = tally.after(one)
    fields: dict[str, Any] = {
        "source": "run",
        "federation": "meadow",
        "status": "finished",
        "rounds": tally.rounds,
        "rounds_asked": 20,
        "created_at": 1_700_000_000.0,
        "written_at": 1_700_003_600.0,
        "metrics": tally.metrics,
        "totals": tally.totals,
        "model": SavedModel(round=len(lines), sha256="ab" * 32, bytes=12_345),
        "versions": Versions(fedgrass="0.1.0", python="3.11.7", torch=None),
    }
    return RecordedRun(
        summary=Summary(**fields | changes), settings=federation(rounds=20), rounds=tuple(lines), clients=tuple(rows)
    )


def with_costs(run: RecordedRun) -> RecordedRun:
    """The run, in which each round takes a cent and a half."""
    by_round = {one.round: {"Lambda": 0.01, "S3 requests": 0.005} for one in run.rounds}
    return msgspec.structs.replace(run, costs=Costs(region="us-east-1", by_round=by_round))


def measured(*values: float | None, metric: str = "accuracy_after") -> list[ClientRow]:
    """A round, in which each device has one of these values."""
    return [
        ClientRow(round=1, client=f"d{number}", state="accepted", metrics={metric: value})
        for number, value in enumerate(values)
    ]
