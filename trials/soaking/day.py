"""The cloud's side of the soak: it gives out rounds, and takes note of how they end. And the hands of fate."""

import hashlib
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from botocore.exceptions import ClientError

from protocol import names
from protocol.messages import FINAL_PHASES, Assignment, ModelReference, Phase, Training
from sandbox.gateway import Request
from trials.soaking.device import SoakDevice
from trials.soaking.fast_clock import FastClock
from trials.soaking.nucleus import FEDERATION, THING, SoakNucleus

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BUCKET = "soak"
HOUR_S = 3600.0
_LIMIT_S = 60.0
"""Of real time, for whatever has to happen."""
_TELL_EVERY = 50
_UNAVAILABLE = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

Mood = Literal["train", "fail", "hang", "unready"]


class Trouble(msgspec.Struct, frozen=True):
    """A round that does not go smoothly: what happens in it, and how it has to end."""

    act: "Callable[[Day], None]"
    end: Phase
    ends_agent: bool = False


class Day:
    """The cloud's side, and fate's. All durations are in the fast clock's seconds."""

    def __init__(
        self,
        nucleus: SoakNucleus,
        device: SoakDevice,
        clock: FastClock,
        s3: "S3Client",
        model: bytes,
        mood: Path,
        seed: int,
    ) -> None:
        self.nucleus = nucleus
        self.device = device
        self.random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self.assignments = self.missed = self.wrong = 0
        self.ends: Counter[str] = Counter()
        self.s3_is_away = False
        self._clock = clock
        self._s3 = s3
        self._mood = mood
        key = names.model_key(FEDERATION, 0)
        self._model = ModelReference(key=key, sha256=hashlib.sha256(model).hexdigest(), bytes=len(model))
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=key, Body=model)

    def pass_by(self, hours: float, troubles: Sequence[Trouble]) -> None:
        """Let the hours pass, each round with a trouble; those that end the agent in the first third only."""
        while self._clock.passed() < hours * HOUR_S:
            early = self._clock.passed() < hours * HOUR_S / 3
            for trouble in self.random.sample(troubles, len(troubles)):
                if self._clock.passed() < hours * HOUR_S and (early or not trouble.ends_agent):
                    trouble.act(self)
                    self._settle(trouble)
                    _say(f"hour {self._clock.passed() / HOUR_S:.1f} of {hours:g}: {trouble.act.__name__}")
                    self.pause(self.random.uniform(300, 1500))

    def stay_calm(self, rounds: int) -> list[tuple[float, float]]:
        """Let so many rounds follow each other at once, with nothing happening: (hours, KiB of the agent's own memory)
        after each."""
        calm = Trouble(Day.assign, "done")
        seen = []
        for number in range(rounds):
            if number % _TELL_EVERY == 0:
                _say(f"{number} of {rounds} quiet rounds")
            calm.act(self)
            self._settle(calm)
            seen.append((self._clock.passed() / HOUR_S, self.device.memory_kb()))
        return seen

    def on_request(self, _request: Request) -> bytes | None:
        """What the line to S3 does with a request."""
        return _UNAVAILABLE if self.s3_is_away else None

    def assign(self, mood: Mood = "train", lasts_s: float = 3 * HOUR_S) -> None:
        """Give the device the next round to do."""
        self.be(mood)
        self.assignments += 1
        self.nucleus.want(
            assignment=Assignment(
                round=self.assignments,
                model=self._model,
                training=Training(batch_size=8, learning_rate=0.1, epochs=2),
                deadline=self._clock.time() + lasts_s,
            )
        )

    def assign_nonsense(self) -> None:
        """Give it a round in words that it does not know."""
        self.assignments += 1
        self.nucleus.want(assignment={"v": 99, "round": self.assignments})

    def withdraw(self) -> None:
        """Call the round off."""
        self.nucleus.want(withdrawn=self.assignments)

    def be(self, mood: Mood) -> None:
        """Tell the task what to do."""
        new = self._mood.with_suffix(".new")
        new.write_text(mood)
        new.replace(self._mood)

    def wait_for_training(self) -> None:
        """Return when the device has reported that it trains."""
        self.nucleus.wait_until(lambda: self._phase() == "training", _LIMIT_S)

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(self._clock.real(seconds))

    def _phase(self) -> Phase | None:
        progress = self.nucleus.progress()
        return progress.phase if progress is not None and progress.round == self.assignments else None

    def _settle(self, trouble: Trouble) -> None:
        """Wait for the round's end, and take note of it."""
        name = trouble.act.__name__
        settled = self.nucleus.wait_until(lambda: self._phase() in FINAL_PHASES and self.nucleus.agrees(), _LIMIT_S)
        phase = self._phase()
        if not settled or (phase == "done" and not self._has_update()):
            self.missed += 1
            _say(f"round {self.assignments} ({name}) is in phase {phase}, has an update: {self._has_update()}")
        elif phase != trouble.end:
            self.wrong += 1
            _say(f"round {self.assignments} ({name}) has ended as {self.nucleus.progress()}")
        self.ends[str(phase)] += 1

    def _has_update(self) -> bool:
        try:
            self._s3.head_object(Bucket=BUCKET, Key=names.update_key(FEDERATION, self.assignments, THING))
        except ClientError:
            return False
        return True


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
