"""A day in the life of the agent, in minutes: assignments, lost messages and connections, restarts, kills, power cuts.

`python -m trials.soak` runs the agent from the built component's zip, with the real IPC client, against a nucleus
at its IPC seam (soaking/nucleus.py), while its clock runs 240 times as fast as time (soaking/fast_clock.py). Its
training process is a real one, with torch, and downloads from and uploads to a real S3. Assignments follow each other,
each with a trouble of its own (soaking/troubles.py); those that end the agent come in the first third of the day only,
so that one process lives through the rest. By its end, that process has met all of its code, and has taken the memory
for it: then come some hundred rounds in which nothing happens, to tell a leak from that.

The last line is JSON:

hours          how many of its hours the agent was watched for
assignments    how many it got in the day
missed         how many did not end in the shadow, as done (with the update in S3), declined or failed, or replaced by
               the next one's end; or left a delta: in the day and after it
wrong          how many ended otherwise than their trouble must
ends           how many of the day's ended in which phase
lives          how many processes of the agent there were
calls          how many IPC calls they made
day_kb_per_h   by how much the agent's own memory (USS) grew in the day, in KiB an hour of its clock: the common slope
               of all its lives, by least squares, each from four hours after its start. Code that is met for the
               first time is in it
steady         how many rounds came after the day
steady_kb_per_assignment, steady_kb_per_h
               by how much it grew for each of these rounds, and an hour: the slope by least squares, but for their
               first third. What grows here is a leak
files_grown    how many more files the last life had open in its last quarter than in its first, by the least of each
"""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from components import build
from sandbox import footprint
from sandbox.embedded_aws import EmbeddedAws
from sandbox.gateway import Gateway
from sandbox.scratch import Scratch
from trials.soaking.day import BUCKET, HOUR_S, Day
from trials.soaking.device import Life, SoakDevice
from trials.soaking.fast_clock import FastClock
from trials.soaking.nucleus import FEDERATION, SoakNucleus
from trials.soaking.troubles import TROUBLES

ROOT = Path(__file__).parent.parent
TASK = ROOT / "trials" / "tasks" / "moody"
SPEED = 240.0
STEADY = 450
WARM_UP_H = 4.0
"""Until then a process meets most of its code for the first time, and takes the memory for it."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """See this module."""

    hours: float
    assignments: int
    missed: int
    wrong: int
    ends: dict[str, int]
    lives: int
    calls: int
    day_kb_per_h: float
    steady: int
    steady_kb_per_assignment: float
    steady_kb_per_h: float
    files_grown: int


def soak(hours: float, steady: int, seed: int = 0) -> Figures:
    """Let so many hours pass, and so many rounds after them."""
    from components.client.trainer.model.state_dict import dump_model  # with torch, which `--help` does without
    from trials.tasks.moody.task import MOOD, build_model

    model = dump_model(build_model(), FEDERATION)
    days: list[Day] = []
    with (
        Scratch() as scratch,
        Gateway(0.0, lambda request: days[0].on_request(request) if days else None) as gateway,
        EmbeddedAws(scratch.path / "aws") as aws,
    ):
        gateway.upstream = aws.endpoint
        artifacts = build.build(ROOT, scratch.path / "build", TASK).artifacts
        mood = scratch.path / "mood"
        environment = aws.environment | {"AWS_ENDPOINT_URL": gateway.endpoint, MOOD: str(mood)}
        configuration = {"federation": FEDERATION, "bucket": BUCKET, "keep_warm_s": 900, "threads": 1}
        clock = FastClock.start(SPEED)
        with (
            SoakNucleus(scratch.path / "ipc.socket", configuration, clock, seed) as nucleus,
            SoakDevice(nucleus, clock, artifacts, scratch.path / "work", environment) as device,
        ):
            day = Day(nucleus, device, clock, aws.client("s3"), model, mood, seed)
            days.append(day)
            day.pass_by(hours, TROUBLES)
            watched_h = clock.passed() / HOUR_S
            lives = [_grown(life) for life in device.lives]
            files_grown = _files_grown(device.lives[-1])
            assignments, ends = day.assignments, dict(day.ends)
            rounds = day.stay_calm(steady)[steady // 3 :]
        if day.missed or day.wrong:
            _say(device.log_path.read_text(errors="replace"))
    return Figures(
        hours=round(watched_h, 1),
        assignments=assignments,
        missed=day.missed,
        wrong=day.wrong,
        ends=ends,
        lives=len(device.lives),
        calls=nucleus.calls,
        day_kb_per_h=round(footprint.slope(lives), 2),
        steady=steady,
        steady_kb_per_assignment=round(footprint.slope([list(enumerate(kb for _, kb in rounds))]), 3),
        steady_kb_per_h=round(footprint.slope([rounds]), 2),
        files_grown=files_grown,
    )


def _grown(life: Life) -> list[tuple[float, float]]:
    return [(hour, kb) for hour, kb in life.memory if hour > life.born_h + WARM_UP_H]


def _files_grown(life: Life) -> int:
    """By the least of the first and of the last quarter: a training process takes some more while it is there."""
    files = [count for (hour, _), count in zip(life.memory, life.files, strict=True) if hour > life.born_h + WARM_UP_H]
    quarter = max(1, len(files) // 4)
    return min(files[-quarter:], default=0) - min(files[:quarter], default=0)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(
    hours: Annotated[float, typer.Option(min=0.1, help="How many hours of the agent's clock.")] = 24.0,
    steady: Annotated[int, typer.Option(min=3, help="How many quiet rounds after them.")] = STEADY,
    seed: Annotated[int, typer.Option(help="Of the order of the troubles, and of what gets lost.")] = 0,
) -> None:
    """Print the figures as JSON; exit with 1 if an assignment was missed or has ended wrongly."""
    figures = soak(hours, steady, seed)
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    raise typer.Exit(bool(figures.missed or figures.wrong))


if __name__ == "__main__":
    typer.run(main)
