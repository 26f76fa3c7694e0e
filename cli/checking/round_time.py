"""A guess at how long a round takes a device: what was measured here, times what a small device is slower by."""

import msgspec

from cli.checking.findings import Facts
from protocol.local_steps import count_steps
from protocol.messages import Training

DEVICE = "Raspberry Pi 4"
SLOWER = 8.0
"""How much longer a core of it takes for a step than one of a desktop or server of today: it reckons about 12 GFLOPS of
float32 beside 100, and runs Python about five times slower."""

BITS_PER_S = 10e6
"""What it is taken to download and to upload by."""

START_S = 15.0
"""What it takes to import torch there."""


class RoundTime(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of one device's round, by what they are spent on; `steps` is how many of training, and `how` says how it
    was guessed."""

    steps: int
    start_s: float
    load_s: float
    train_s: float
    evaluate_s: float
    transfer_s: float
    how: str

    @property
    def total_s(self) -> float:
        """All of it."""
        return self.start_s + self.load_s + self.train_s + self.evaluate_s + self.transfer_s


def round_time(facts: Facts, training: Training) -> RoundTime | None:
    """The guess; None if no step was measured."""
    if facts.step_s is None or facts.examples is None or facts.model_bytes is None:
        return None
    steps = count_steps(training, facts.examples)
    transferred = facts.model_bytes + (facts.update_bytes or facts.model_bytes)
    return RoundTime(
        steps=steps,
        start_s=START_S,
        load_s=SLOWER * (facts.load_s or 0.0),
        train_s=SLOWER * steps * facts.step_s,
        evaluate_s=SLOWER * 2 * (facts.evaluation_s or 0.0),
        transfer_s=8 * transferred / BITS_PER_S,
        how=(
            f"{steps:,} steps of {1000 * facts.step_s:,.1f} ms here on one core, times {SLOWER:g} for a {DEVICE}; "
            f"{transferred:,} bytes at {BITS_PER_S / 1e6:g} Mbit/s; {START_S:g} s to start"
        ),
    )
