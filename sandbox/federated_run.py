"""A federation carried through on this machine, from its first round to its last, whatever an operator does."""

import contextlib
import queue
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from cloud.settings import Federation
from cloud.state.records import RoundRecord
from cloud.state.rounds import Responses, UnknownRoundError
from operations.control import Operations
from protocol.messages import Numbers, Progress, RoundNotice
from reporting.records import RoundLine
from reporting.round_figures import RoundFigures, figures_of
from reporting.run_writer import RunWriter
from reporting.view import View, held_by
from sandbox.fleet import Fleet
from sandbox.mqtt_listener import Console, ProgressHeard
from sandbox.sandbox import Sandbox
from sandbox.scoring import Scorer, ScoringError

_JOIN_LIMIT_S = 180.0
_TICK_S = 0.25
_CHECK_S = 2.0
"""So often the federation's record is looked at, if nothing is heard: MQTT tells of no change of settings or status."""


class RunError(Exception):
    """The federation did not come to its end."""


class Recording(NamedTuple):
    """Where rounds are written: a run folder, which has what `settings_of` gives for the federation's settings. `tell`
    is called with what it says of each round."""

    folder: RunWriter
    settings_of: Callable[[Federation], Federation] = lambda settings: settings
    tell: Callable[[RoundLine], None] = lambda _: None

    def add(self, record: RoundRecord, responses: Responses, held_out: Numbers, model: bytes | None) -> None:
        """A round has ended, and made this model."""
        line = self.folder.add_round(record, responses, held_out=held_out, model=model)
        if line is not None:
            self.tell(line)


def wait_for_clients(operations: Operations, federation: str, fleet: Fleet, limit_s: float = _JOIN_LIMIT_S) -> None:
    """Return when every device of the fleet has said hello.

    Raises:
        RunError: one has not, in time; the text names it.
        ComponentBrokenError: a device has given up on the component.
    """
    deadline = time.monotonic() + limit_s
    while missing := fleet.devices.keys() - {client.thing for client in operations.clients.of(federation)}:
        fleet.check()
        if time.monotonic() > deadline:
            device = fleet.devices[min(missing)]
            raise RunError(f"{device.thing} has not said hello in {limit_s} s; the end of its log:\n{device.log_tail}")
        time.sleep(_TICK_S)


def agent_memory_mb(fleet: Fleet) -> float:
    """The median over the devices of the agent's resident memory, in MiB."""
    pids = [device.pid for device in fleet.devices.values()]
    return statistics.median(psutil.Process(pid).memory_info().rss / 2**20 for pid in pids if pid is not None)


def process_memory_mb() -> float:
    """The memory of this process and all it started, shared pages counted once (PSS), in MiB."""
    total = 0
    for process in (own := psutil.Process(), *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 2**20


def run_rounds(
    sandbox: Sandbox,
    operations: Operations,
    federation: str,
    scorer: Scorer | None = None,
    look: Callable[[View], None] | None = None,
    recording: Recording | None = None,
) -> list[RoundFigures]:
    """Start the federation and return when its last round has ended. `look` is called whenever there is news.

    An operator may pause the federation, abort rounds, change its settings: the rounds to wait for are those that its
    record asks for.

    Raises:
        RunError: nothing was heard for longer than a round may take.
        ScoringError: a model could not be scored.
    """
    with Console(sandbox.aws, sandbox.path / "console", federation) as console:
        scored = sandbox.path / "scored.safetensors"
        following = Following(operations, federation, scorer, scored, recording)
        while not following.is_over:
            if look is not None:
                look(following.view)
            try:
                following.hear(console.heard.get(timeout=_TICK_S))
            except queue.Empty:
                following.wait()
            except ScoringError:
                if look is not None:  # what the devices say of the round may be the same, and tells more
                    look(following.view)
                raise
        if look is not None:
            look(following.view)
    return list(following.view.ended)


class Following:
    """Starts a federation, and keeps up with its rounds. What is heard is a reason to look; what is true is in the
    tables."""

    def __init__(
        self,
        operations: Operations,
        federation: str,
        scorer: Scorer | None,
        scored: Path,
        recording: Recording | None = None,
    ) -> None:
        """As for `run_rounds`; models to score are put at the path `scored`."""
        self._operations = operations
        self._scorer = scorer
        self._scored = scored
        self._recording = recording
        self._previous_end = time.time()
        self._record = operations.start(federation)
        if recording is not None:
            recording.folder.set_model(operations.models.get(self._record.model))
        self._round, self._state = 0, "starting"
        self._open: RoundRecord | None = None
        self._heard: dict[str, Progress] = {}
        self._ended: list[RoundFigures] = []
        self._heard_at = self._checked_at = time.monotonic()

    @property
    def view(self) -> View:
        """What there is to see."""
        record = self._record
        return View(
            federation=record.federation,
            round=self._round,
            rounds=record.settings.rounds,
            state=self._state,
            open=self._open,
            heard=dict(self._heard),
            ended=tuple(self._ended),
            held_by=self._held_by,
            is_over=self.is_over,
        )

    @property
    def _held_by(self) -> str | None:
        return held_by(self._record, is_open=self._round > self._record.round)

    @property
    def is_over(self) -> bool:
        """Whether there are no more rounds to come."""
        record = self._record
        is_last = record.round >= record.settings.rounds or bool(record.ended_by_rule)
        return is_last and len(self._ended) == record.round

    def hear(self, news: ProgressHeard | RoundNotice) -> None:
        """Someone has said something."""
        self._heard_at = time.monotonic()
        if not isinstance(news, RoundNotice):
            if news.progress.round == self._round:
                self._heard[news.thing] = news.progress
            return
        if news.round > self._round:
            self._round, self._heard, self._open = news.round, {}, None
        if news.round == self._round:
            self._state = news.state
        self._catch_up()

    def wait(self) -> None:
        """Nothing was heard for a moment.

        Raises:
            RunError: that goes on for too long.
        """
        now = time.monotonic()
        if now - self._checked_at < _CHECK_S:
            return
        before = self._record
        self._catch_up()
        is_due = self._record.next_at <= time.time()
        if self._held_by is not None or self._record != before or not is_due:
            self._heard_at = now
        settings = self._record.settings
        silence_s = 2 * settings.deadline_s + settings.pacing.interval_s + 60
        if now - self._heard_at > silence_s:
            name = self._record.federation
            waiting = ", for want of clients that may take part" if self._record.waiting else ""
            raise RunError(
                f"federation {name} was silent for {silence_s:.0f} s after round {self._record.round}{waiting}"
            )

    def _catch_up(self) -> None:
        before = self._record
        self._record = record = self._operations.federations.get(before.federation)
        self._checked_at = time.monotonic()
        if self._recording is not None and record.settings != before.settings:
            self._recording.folder.set_settings(self._recording.settings_of(record.settings))
        while len(self._ended) < record.round:
            self._add(self._operations.rounds.get(record.federation, len(self._ended) + 1))
        if self._open is None and self._round > record.round:
            with contextlib.suppress(UnknownRoundError):  # what was heard is of an earlier life
                self._open = self._operations.rounds.of(record.federation, record.life, self._round)

    def _add(self, record: RoundRecord) -> None:
        responses = self._operations.rounds.responses(record.federation, record.round)
        said = self._heard if record.round == self._round else {}
        heard = {member.thing: said.get(member.thing) for member in record.cohort}
        figures = figures_of(record, responses, self._previous_end, heard)
        self._ended.append(figures)
        self._previous_end = record.closed_at or self._previous_end
        made = None if record.model is None else self._operations.models.get(record.model)
        held_out: Numbers = {}
        try:
            if self._scorer is not None:
                self._scored.write_bytes(made or self._operations.models.get(record.base))
                held_out = self._scorer.score(self._scored)
                self._ended[-1] = msgspec.structs.replace(figures, metrics=held_out)
        finally:
            if self._recording is not None:
                self._recording.add(record, responses, held_out if made else {}, made)
