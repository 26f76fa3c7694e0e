"""What the component takes of a device, and how fast it is there: memory, processor, bytes on the wire, starts, and
what a power cut costs.

`python -m benchmarks.device` deploys the built component to one device of a sandbox, with the example's task (a
perceptron, 784-128-64-10), then to another with MobileNetV3-small, and lets rounds run one at a time. The last line is
JSON; memory is in MiB:

idle_mb             RSS of the agent that has never trained; at most 60
training_mb         by model: the largest PSS, in a whole round, of the agent and its training process together
after_training_mb   RSS of the agent when it has trained and its training process has ended; at most idle_mb + 5
idle_cpu_percent    of one core, while the shadow is read every 10 s, 30 times as often as by default; under 0.1
idle_bytes_per_day  on the device's MQTT connection, headers of TLS, TCP and IPv4 included, for 288 looks at the shadow
                    (every 300 s, the default), from the bytes of one look; the nucleus's keep-alive is not in it
cold_start_s        from the assignment to the first step of training, if a process has to start and load torch
warm_start_s        the same for the next round, in the process that is still there: the median of three
resume_lost_s       what it costs to kill the agent and its process at half of a round's training: how much of the round
                    was neither training that counted nor its start; at most checkpoint_s + restart_s + cold_start_s
checkpoint_s        how often training was saved
restart_s           from that kill until the agent, started anew by the nucleus, has a training process again
over_limit          which of these limits do not hold; the exit status is 1 if any does not
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from benchmarks.lone_device import LocalRound, LoneDevice
from cli.project import load
from cli.project_data import EXAMPLE
from sandbox import footprint
from sandbox.footprint import Peak
from sandbox.nucleus.personality import FLEETS, Personality

MOBILENET = Path(__file__).parent / "tasks" / "mobilenet"
RECONCILE_S = 10
DEFAULT_RECONCILE_S = 300
KEEP_WARM_S = 5
CHECKPOINT_S = 2.0
EPOCHS = 100
MAX_IDLE_MB = 60.0
MAX_KEPT_MB = 5.0
MAX_IDLE_CPU_PERCENT = 0.1
_WARM_ROUNDS = 3
_SETTLED_S = 3.0
_TICK_S = 0.1
_LOOK_BYTES = 1000
"""A look at the shadow takes more, a keep-alive of the nucleus far less."""
_TRAINING = {"batch_size": 32, "learning_rate": 0.01, "momentum": 0.9}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """See this module."""

    idle_mb: float
    training_mb: dict[str, float]
    after_training_mb: float
    idle_cpu_percent: float
    idle_bytes_per_day: int
    cold_start_s: float
    warm_start_s: float
    resume_lost_s: float
    checkpoint_s: float
    restart_s: float


def over_limit(figures: Figures) -> list[str]:
    """The names of the figures that are more than they may be."""
    limits = {
        "idle_mb": figures.idle_mb <= MAX_IDLE_MB,
        "after_training_mb": figures.after_training_mb <= figures.idle_mb + MAX_KEPT_MB,
        "idle_cpu_percent": figures.idle_cpu_percent < MAX_IDLE_CPU_PERCENT,
        "resume_lost_s": figures.resume_lost_s <= figures.checkpoint_s + figures.restart_s + figures.cold_start_s,
    }
    return [name for name, is_within in limits.items() if not is_within]


def measure(nucleus: Personality, idle_s: float) -> Figures:
    """All figures, on a device with this nucleus; `idle_s` is how long the idle agent is watched."""
    perceptron = load(EXAMPLE, rounds=10, training={**_TRAINING, "epochs": EPOCHS})
    configuration = {"reconcile_s": RECONCILE_S, "keep_warm_s": KEEP_WARM_S, "checkpoint_s": CHECKPOINT_S}
    with LoneDevice(perceptron, nucleus, **configuration) as lone:
        time.sleep(_SETTLED_S)
        idle_mb = footprint.resident_mb(lone.agent)
        _say(f"idle: {idle_mb:.1f} MB")
        training_mb, cold = _watched_round(lone)
        _say(f"cold round: {cold}, {training_mb:.0f} MB")
        warm = [lone.end_of(lone.open_round()) for _ in range(_WARM_ROUNDS)]
        _say(f"warm rounds: {warm}")
        lone.wait_for_training_process_to_end()
        time.sleep(_SETTLED_S)
        after_training_mb = footprint.resident_mb(lone.agent)
        _say(f"after training: {after_training_mb:.1f} MB")
        cpu_percent, bytes_per_look = _watch_idle(lone, idle_s)
        restart_s, resumed = _killed_round(lone, cold)
        _say(f"killed round: {resumed}, training again after {restart_s:.2f} s")
    with LoneDevice(load(MOBILENET), nucleus, keep_warm_s=KEEP_WARM_S) as lone:
        mobilenet_mb, pictures = _watched_round(lone)
        _say(f"MobileNet: {pictures}, {mobilenet_mb:.0f} MB")
    return Figures(
        idle_mb=round(idle_mb, 1),
        training_mb={"mlp": round(training_mb), "mobilenet_v3_small": round(mobilenet_mb)},
        after_training_mb=round(after_training_mb, 1),
        idle_cpu_percent=round(cpu_percent, 4),
        idle_bytes_per_day=round(bytes_per_look * 86_400 / DEFAULT_RECONCILE_S),
        cold_start_s=round(cold.start_s, 2),
        warm_start_s=round(statistics.median(each.start_s for each in warm), 2),
        resume_lost_s=round(resumed.start_s - cold.start_s, 2),
        checkpoint_s=CHECKPOINT_S,
        restart_s=round(restart_s, 2),
    )


def _watched_round(lone: LoneDevice) -> tuple[float, LocalRound]:
    agent = lone.agent
    with Peak(lambda: footprint.proportional_mb(agent)) as peak:
        ended = lone.end_of(lone.open_round())
    return peak.value, ended


def _killed_round(lone: LoneDevice, undisturbed: LocalRound) -> tuple[float, LocalRound]:
    """A round from a cold start in which agent and training process are killed when half of the training is done; and
    after how many seconds there was a training process again."""
    lone.wait_for_training_process_to_end()
    opened = lone.open_round()
    half_s = undisturbed.start_s + undisturbed.train_s / 2
    time.sleep(max(0.0, (opened.notified_at or opened.opened_at) + half_s - time.time()))
    restart_s = lone.kill()
    return restart_s, lone.end_of(opened)


def _watch_idle(lone: LoneDevice, idle_s: float) -> tuple[float, float]:
    """Percent of a processor, and bytes on the wire for each look at the shadow. Both from the end of one look to the
    end of another, so that there are as many looks as pauses."""
    before = _next_look(lone)
    used_s, started = footprint.processor_s(lone.agent), time.monotonic()
    looks = 0
    while (passed_s := time.monotonic() - started) < idle_s:
        after = _next_look(lone)
        looks += 1
    used_s = footprint.processor_s(lone.agent) - used_s
    _say(f"idle for {passed_s:.0f} s: {looks} looks at the shadow, {used_s * 1000:.1f} ms of processor time")
    return 100 * used_s / passed_s, (after - before) / looks


def _next_look(lone: LoneDevice) -> int:
    """Return when the agent has looked at its shadow and has the answer: how many bytes have passed by then."""
    before = lone.traffic()
    while lone.traffic() - before < _LOOK_BYTES:
        time.sleep(_TICK_S)
    time.sleep(_SETTLED_S)
    return lone.traffic()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(
    nucleus: Annotated[Literal["classic", "lite"], typer.Option(help="What the device runs.")] = "classic",
    idle_s: Annotated[float, typer.Option(min=RECONCILE_S, help="How long the idle agent is watched.")] = 120.0,
) -> None:
    """Print the figures as JSON; exit with 1 if a limit does not hold."""
    figures = measure(FLEETS[nucleus][0], idle_s)
    over = over_limit(figures)
    sys.stdout.write(msgspec.json.encode(msgspec.to_builtins(figures) | {"over_limit": over}).decode() + "\n")
    raise typer.Exit(bool(over))


if __name__ == "__main__":
    typer.run(main)
