"""A federation carried through on this machine, from its first round to its last, and what was measured on the way."""

import contextlib
import queue
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import psutil

from cloud.state.records import RoundRecord
from cloud.state.rounds import Responses
from operations.control import Operations
from protocol.messages import Numbers, Phase, Progress, RoundNotice
from reporting.measuring import round_line
from reporting.records import STEPS
from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Fleet
from sandbox.mqtt_listener import Console
from sandbox.sandbox import Sandbox
from sandbox.scoring import Scorer, ScoringError

_JOIN_LIMIT_S = 180.0
_TICK_S = 0.25


class RunError(Exception):
    """The federation did not come to its end."""


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """A device without an update that counts, and why: in the words of whoever decided so."""

    thing: str
    state: str
    reason: str


class RoundFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one round. `split` is the time of each of STEPS on the way of the client that answered last;
    their sum is `round_s`, from the end of the round before to the end of this one. `overhead_s` is that less the
    longest local training. `asked` is the size of the cohort, `failing` who of it failed, `reason` why the round made
    no model; `not_finite` and `warnings` are those of the round's record."""

    round: int
    status: str
    asked: int
    accepted: int
    round_s: float
    overhead_s: float
    split: dict[str, float]
    metrics: Numbers
    not_finite: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    failing: list[Failing] = []
    reason: str | None = None


class View(msgspec.Struct, kw_only=True):
    """What an onlooker can see at any moment: the round, what each client said last in it, and the rounds that have
    ended."""

    round: int = 0
    rounds: int = 0
    state: str = "starting"
    heard: dict[str, Progress] = msgspec.field(default_factory=dict)
    ended: list[RoundFigures] = msgspec.field(default_factory=list)

    @property
    def phases(self) -> dict[str, Phase]:
        """Each client's phase in the round."""
        return {thing: progress.phase for thing, progress in self.heard.items()}


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
            thing = min(missing)
            raise RunError(f"{thing} has not said hello in {limit_s} s; its log is {fleet.devices[thing].log_path}")
        time.sleep(_TICK_S)


def agent_memory_mb(fleet: Fleet) -> float:
    """The median over the devices of the agent's resident memory, in MiB."""
    pids = [device.pid for device in fleet.devices.values()]
    return statistics.median(psutil.Process(pid).memory_info().rss / 2**20 for pid in pids if pid is not None)


def run_rounds(
    sandbox: Sandbox,
    operations: Operations,
    federation: str,
    scorer: Scorer | None = None,
    look: Callable[[View], None] | None = None,
) -> list[RoundFigures]:
    """Start the federation and return when its last round has ended. `look` is called whenever there is news.

    Raises:
        RunError: nothing was heard for longer than a round may take.
        ScoringError: a model could not be scored.
    """
    settings = operations.federations.get(federation).settings
    view = View(rounds=settings.rounds)
    silence_s = 2 * settings.deadline_s + settings.pacing.interval_s + 60
    previous_end: float | None = None
    with Console(sandbox.aws, sandbox.path / "console", federation) as console:
        started_at = time.time()
        operations.start(federation)
        heard_at = time.monotonic()
        while len(view.ended) < settings.rounds:
            if look is not None:
                look(view)
            try:
                news = console.heard.get(timeout=_TICK_S)
            except queue.Empty:
                if time.monotonic() - heard_at > silence_s:
                    raise RunError(
                        f"federation {federation} was silent for {silence_s:.0f} s in round {view.round}"
                    ) from None
                continue
            heard_at = time.monotonic()
            if not isinstance(news, RoundNotice):
                if news.progress.round == view.round:
                    view.heard[news.thing] = news.progress
                continue
            if news.round > view.round:
                view.round, view.heard = news.round, {}
            if news.round == view.round:
                view.state = news.state
            if news.state in ("closed", "aborted") and all(figures.round != news.round for figures in view.ended):
                record = operations.rounds.get(federation, news.round)
                figures = _figures(operations, record, previous_end or started_at, view.heard)
                previous_end = record.closed_at
                try:
                    metrics = {} if scorer is None else _score(operations, record, scorer, sandbox.path)
                except ScoringError:
                    view.ended.append(figures)  # what the devices say of it may be the same, and tells more
                    if look is not None:
                        look(view)
                    raise
                view.ended.append(msgspec.structs.replace(figures, metrics=metrics))
        if look is not None:
            look(view)
    return view.ended


def process_memory_mb() -> float:
    """The memory of this process and all it started, shared pages counted once (PSS), in MiB."""
    total = 0
    for process in (own := psutil.Process(), *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 2**20


class FunctionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a function's own log says of rounds 2 and later: the median wall time of one invocation that worked on a
    round, and the median over the rounds of its AWS calls, by kind."""

    invocation_s: float
    calls: dict[str, float]


class _Emitted(msgspec.Struct):
    timestamp_ms: int = msgspec.field(name="Timestamp")


class FunctionLine(msgspec.Struct):
    """What an invocation says of itself in its function's log (cloud/metrics.py). `waited_s` is how long averaging
    stood still for S3, by what for; `job` is there if it did one of the jobs of a round; the peak is that of the
    process, which may have served other invocations before. Of several `messages` that came as one batch, federation,
    round and job are those of the one that was dealt with last."""

    emitted: _Emitted = msgspec.field(name="_aws")
    duration_s: float
    calls: dict[str, int]
    peak_memory_mb: float
    messages: int = 1
    waited_s: dict[str, float] = {}
    federation: str = ""
    round: int = 0
    job: int | None = None

    @property
    def started_at(self) -> float:
        """When the invocation began, in seconds since 1970-01-01 UTC, to a millisecond."""
        return self.emitted.timestamp_ms / 1000 - self.duration_s


def function_log(aws: EmbeddedAws, function: str) -> list[str]:
    """All that a function has logged."""
    pages = aws.client("logs").get_paginator("filter_log_events")
    return [e["message"] for p in pages.paginate(logGroupName=f"/fedgrass/{function}") for e in p["events"]]


def function_lines(aws: EmbeddedAws, function: str) -> list[FunctionLine]:
    """The lines of all invocations of a function, in the order of their ends."""
    messages = function_log(aws, function)
    return [msgspec.json.decode(text, type=FunctionLine) for text in messages if text.startswith('{"_aws"')]


def function_figures(sandbox: Sandbox, function: str) -> FunctionFigures:
    """The figures of a function that the sandbox has run."""
    durations: list[float] = []
    calls: dict[int, Counter[str]] = {}
    for line in function_lines(sandbox.aws, function):
        if line.round >= 2:
            durations.append(line.duration_s)
            calls.setdefault(line.round, Counter()).update(line.calls)
    kinds = sorted({kind for counted in calls.values() for kind in counted})
    return FunctionFigures(
        invocation_s=statistics.median(durations or [0.0]),
        calls={kind: statistics.median(counted[kind] for counted in calls.values()) for kind in kinds},
    )


def medians(rounds: Iterable[RoundFigures]) -> RoundFigures:
    """The medians over rounds 2 and later (over all if there is only one): the first one starts processes."""
    every = list(rounds)
    chosen = every[1:] or every
    return RoundFigures(
        round=len(every),
        status=every[-1].status,
        asked=every[-1].asked,
        accepted=every[-1].accepted,
        round_s=statistics.median(figures.round_s for figures in chosen),
        overhead_s=statistics.median(figures.overhead_s for figures in chosen),
        split={step: statistics.median(figures.split.get(step, 0.0) for figures in chosen) for step in STEPS},
        metrics=every[-1].metrics,
    )


def _score(operations: Operations, record: RoundRecord, scorer: Scorer, directory: Path) -> dict[str, float | None]:
    path = directory / "scored.safetensors"
    path.write_bytes(operations.models.get(record.model or record.base))
    return scorer.score(path)


def _figures(
    operations: Operations, record: RoundRecord, previous_end: float, heard: Mapping[str, Progress]
) -> RoundFigures:
    responses = operations.rounds.responses(record.federation, record.round)
    line = round_line(record, responses, previous_end)
    return RoundFigures(
        round=record.round,
        status=record.status,
        asked=line.cohort,
        accepted=record.accepted,
        round_s=line.round_s,
        overhead_s=line.round_s - line.training_s,
        split=line.split,
        metrics={},
        not_finite=record.not_finite,
        warnings=record.warnings,
        failing=failing_of(record, responses, heard),
        reason=record.reason,
    )


def failing_of(record: RoundRecord, responses: Responses, heard: Mapping[str, Progress]) -> list[Failing]:
    """In the order of the things' names. Who was still at it when enough others had answered has not failed; `heard` is
    what each said last, which may have come too late for the round to know of it."""
    found = {thing: _vanished(thing, heard.get(thing)) for thing in record.vanished}
    for response in (*responses.refused, *responses.failed):
        found[response.thing] = Failing(thing=response.thing, state=response.state, reason=response.reason or "")
    for response in responses.accepted:
        found.pop(response.thing, None)
    return [found[thing] for thing in sorted(found)]


def _vanished(thing: str, last: Progress | None) -> Failing:
    if last is not None and last.phase in ("failed", "declined"):
        return Failing(thing=thing, state=last.phase, reason=last.reason or "it gave no reason")
    last_heard = "nothing was heard of it" if last is None else f"last heard of: {last.phase}"
    return Failing(thing=thing, state="silent", reason=f"no answer until the deadline; {last_heard}")
