"""What the agent does about what happens: a pure state machine, driven by `step`.

It is level-triggered: whatever wakes it, it gets its shadow, and what that says is the truth. It works on the
assignment that the shadow wants, unless that one is withdrawn, late or already finished; a newer one supersedes it.
What it reports counts as said only once a later document shows it; until then it says it again.
"""

import math

import msgspec

from components.client.agent import shadow as shadows
from components.client.agent.events import (
    Cancel,
    Complain,
    Connected,
    DataLoaded,
    Effect,
    Event,
    Forget,
    Get,
    Moment,
    Publish,
    ReadinessChanged,
    Remember,
    SayHello,
    ShadowArrived,
    ShadowChanged,
    Started,
    StepEntered,
    Tick,
    Train,
    TrainingAdvanced,
    Unanswered,
)
from components.client.agent.last_assignment import Finished
from components.client.agent.shadow import Shadow
from components.client.reasons import shorten
from protocol.messages import FINAL_PHASES, Assignment, InvalidMessageError, Phase, Progress, Reported

FIRST_RETRY_S = 1.0
"""How long an answer to the first GET may take; then it is asked again, and the wait doubles."""

UNANSWERED_S = 30.0
"""When answers fail to come for so long, the operator has to hear of it."""

WITHDRAWN = "withdrawn: the round no longer needs this client"
"""Why an assignment is declined that the cloud does not want any more."""

PROGRESS_INTERVAL_S = 1.0
"""Progress on the way is published at most this often."""

CONFIRM_S = 45.0
"""What was published is looked for in the shadow after so long, since nothing else answers it."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that the agent knows. Times are monotonic; `cloud_offset_s` is the cloud's time less the monotonic one."""

    reconcile_s: float
    finished: Finished | None = None
    running: Assignment | None = None
    at_step: str | None = None
    deadline: float = math.inf
    said: Reported = Reported()
    known: Reported = Reported()
    examples: int | None = None
    cloud_offset_s: float | None = None
    last_document: tuple[int, int] = (0, 0)
    awaited_version: int = 0
    get_due: float = 0.0
    get_retry_s: float | None = None
    asked_first_at: float = 0.0
    asked_last_at: float = -math.inf
    publish_due: float = math.inf
    published_at: float = -math.inf


def next_wake(state: State) -> float:
    """When, by the monotonic clock, the next Tick has something to do."""
    return min(state.get_due, state.publish_due, state.deadline)


def step(state: State, event: Event, now: Moment) -> tuple[State, list[Effect]]:
    """The state after an event, and what is to be done about it, in this order."""
    effects: list[Effect] = []
    said_before = state.said
    match event:
        case Started():
            effects.append(SayHello(None))
            state = _get(state, now, effects)
        case Connected():
            state = _get_anew(state, now, effects)
        case ShadowChanged(version):
            state = msgspec.structs.replace(state, awaited_version=max(state.awaited_version, version))
            state = _get_anew(state, now, effects)
        case ShadowArrived(shadow):
            state = _on_shadow(state, shadow, now, effects)
        case DataLoaded(examples) if examples != state.examples:
            effects.append(SayHello(examples))
            state = msgspec.structs.replace(state, examples=examples)
        case ReadinessChanged():
            effects.append(SayHello(state.examples))
        case TrainingAdvanced(progress) if state.running and _is_of(state.running, progress):
            if progress.phase in FINAL_PHASES:
                state = _finish(state, progress.phase, progress.reason, now, effects)
            else:
                state = _say(state, progress, now)
            state = _publish(state, now, effects, urgent=progress.phase in FINAL_PHASES)
        case StepEntered(at_step):
            state = msgspec.structs.replace(state, at_step=at_step)
        case Tick():
            state = _on_tick(state, now, effects)
    if state.said not in (said_before, state.known):
        state = msgspec.structs.replace(state, get_due=min(state.get_due, now.monotonic + CONFIRM_S))
    return state, effects


def _on_tick(state: State, now: Moment, effects: list[Effect]) -> State:
    if state.running and now.monotonic >= state.deadline:
        effects.append(Cancel("deadline"))
        last = state.said.progress
        reason = f"deadline passed in {state.at_step or 'phase accepted'}"
        if last and last.reason:
            reason = f"{reason}: {last.reason}"
        # What never began, since the device was not ready, has not failed.
        phase: Phase = "failed" if state.at_step else "declined"
        state = _finish(state, phase, reason, now, effects)
        state = _publish(state, now, effects, urgent=True)
    if now.monotonic >= state.publish_due:
        state = _publish(state, now, effects, urgent=False)
    if now.monotonic >= state.get_due:
        state = _get(state, now, effects)
    return state


def _get(state: State, now: Moment, effects: list[Effect]) -> State:
    """Asks for the shadow, and again until an answer comes: the broker may be away, or the answer be lost."""
    retry_s = FIRST_RETRY_S if state.get_retry_s is None else min(2 * state.get_retry_s, state.reconcile_s)
    effects.append(Get())
    asked_first_at = now.monotonic if state.get_retry_s is None else state.asked_first_at
    silent_s = now.monotonic - asked_first_at
    if silent_s > UNANSWERED_S:
        effects.append(Unanswered(silent_s, retry_s))
    return msgspec.structs.replace(
        state,
        get_retry_s=retry_s,
        get_due=now.monotonic + retry_s,
        asked_first_at=asked_first_at,
        asked_last_at=now.monotonic,
    )


def _get_anew(state: State, now: Moment, effects: list[Effect]) -> State:
    """Asks for the shadow because there is news. If an answer is awaited already, the question may have been lost while
    the line was down: it is asked again as soon as an answer could have come, and the waits begin anew."""
    if state.get_retry_s is None:
        return _get(state, now, effects)
    soon = state.asked_last_at + FIRST_RETRY_S
    state = msgspec.structs.replace(state, get_retry_s=FIRST_RETRY_S / 2, get_due=min(state.get_due, soon))
    return _get(state, now, effects) if now.monotonic >= state.get_due else state


def _on_shadow(state: State, shadow: Shadow, now: Moment, effects: list[Effect]) -> State:
    document = (shadow.timestamp or 0, shadow.version)
    if document != (0, 0) and document < state.last_document:
        return state  # an answer that was delayed on its way: a newer one was here already
    state = msgspec.structs.replace(
        state,
        known=shadow.reported,
        last_document=document,
        cloud_offset_s=state.cloud_offset_s if shadow.timestamp is None else shadow.timestamp - now.monotonic,
        get_retry_s=None,
        get_due=now.monotonic + state.reconcile_s,
    )
    said_before = state.said
    state = _decide(state, shadow, now, effects)
    state = msgspec.structs.replace(
        state,
        said=msgspec.structs.replace(
            state.said,
            assignment=shadow.assignment,
            withdrawn=shadow.withdrawn,
            withdrawn_life=shadow.withdrawn_life,
        ),
    )
    state = _publish(state, now, effects, urgent=state.said != said_before)
    if shadow.version < state.awaited_version:
        # The answer is older than a delta that came meanwhile. Asked once: a shadow that was deleted counts anew.
        state = _get(msgspec.structs.replace(state, awaited_version=0), now, effects)
    return state


def _decide(state: State, shadow: Shadow, now: Moment, effects: list[Effect]) -> State:
    """Starts, stops or leaves alone, so that what runs is what the shadow wants."""
    running = state.running
    if running and (shadow.assignment is None or shadow.is_withdrawn(running.life, running.round)):
        effects.append(Cancel("withdrawn"))
        state = _finish(state, "declined", WITHDRAWN, now, effects)
        if shadow.assignment is None:
            return state
    if shadow.assignment is None:
        return _say(state, shadow.reported.progress, now)
    try:
        assignment = shadows.read_assignment(shadow.assignment)
    except InvalidMessageError as error:
        return _refuse(state, shadow, str(error), now, effects)
    life, round_number, sha256 = assignment.life, assignment.round, assignment.model.sha256
    cloud_now = now.wall if shadow.timestamp is None else float(shadow.timestamp)  # device clocks can be far off
    left_s = assignment.deadline - cloud_now
    running = state.running
    if running and (running.life, running.round, running.model.sha256) == (life, round_number, sha256):
        return msgspec.structs.replace(state, deadline=now.monotonic + left_s)  # it may have been extended
    if running:
        effects.append(Cancel("superseded"))
        state = msgspec.structs.replace(state, running=None, deadline=math.inf)
    if state.finished and state.finished.progress.life != life:
        effects.append(Forget(state.finished))
        state = msgspec.structs.replace(state, finished=None)
    reported = shadow.reported.progress
    if reported and _ended_in_cloud(shadow, assignment):
        state = msgspec.structs.replace(state, finished=Finished(sha256=sha256, progress=reported))
    if state.finished and state.finished.is_of(life, round_number, sha256):
        return _say(state, state.finished.progress, now)
    state = msgspec.structs.replace(state, running=assignment, at_step=None, deadline=now.monotonic + left_s)
    if shadow.is_withdrawn(life, round_number):
        return _finish(state, "declined", WITHDRAWN, now, effects)
    if left_s <= 0:
        return _finish(state, "declined", f"deadline passed {-left_s:.0f} s before this device saw it", now, effects)
    effects.append(Train(assignment))
    return _say(state, Progress(round=round_number, life=life, phase="accepted"), now)


def _is_of(assignment: Assignment, progress: Progress) -> bool:
    return (assignment.life, assignment.round) == (progress.life, progress.round)


def _ended_in_cloud(shadow: Shadow, assignment: Assignment) -> bool:
    """Whether the shadow itself shows that this device is done with the assignment, though it has forgotten."""
    progress = shadow.reported.progress
    return (
        progress is not None
        and _is_of(assignment, progress)
        and progress.phase in FINAL_PHASES
        and shadow.reported.assignment == shadow.assignment
    )


def _refuse(state: State, shadow: Shadow, reason: str, now: Moment, effects: list[Effect]) -> State:
    """Declines what is no assignment; what runs goes on, for nothing that can be understood replaces it."""
    raw = shadow.assignment or {}
    life, round_number = shadows.read_life(raw), shadows.read_round(raw)
    if round_number is None or state.running:
        effects.append(Complain(reason))
        return state
    if state.finished and state.finished.is_of(life, round_number, ""):
        return _say(state, state.finished.progress, now)
    progress = _progress(life, round_number, "declined", reason, now)
    finished = Finished(sha256="", progress=progress)
    effects.append(Remember(finished))
    return _say(msgspec.structs.replace(state, finished=finished), progress, now)


def _finish(state: State, phase: Phase, reason: str | None, now: Moment, effects: list[Effect]) -> State:
    assert state.running is not None  # noqa: S101
    progress = _progress(state.running.life, state.running.round, phase, reason, now)
    finished = Finished(sha256=state.running.model.sha256, progress=progress)
    effects.append(Remember(finished))
    state = msgspec.structs.replace(state, running=None, deadline=math.inf, finished=finished)
    return _say(state, progress, now)


def _progress(life: str, round_number: int, phase: Phase, reason: str | None, now: Moment) -> Progress:
    short = None if reason is None else shorten(reason)
    return Progress(round=round_number, life=life, phase=phase, reason=short, at=round(now.wall, 3))


def _say(state: State, progress: Progress | None, now: Moment) -> State:
    if progress is not None and progress.at is None:
        reason = None if progress.reason is None else shorten(progress.reason)
        progress = msgspec.structs.replace(progress, reason=reason, at=round(now.wall, 3))
    return msgspec.structs.replace(state, said=msgspec.structs.replace(state.said, progress=progress))


def _publish(state: State, now: Moment, effects: list[Effect], *, urgent: bool) -> State:
    """Publishes what the cloud does not know yet: at once if urgent, else when a second has passed since the last."""
    payload = shadows.update(state.said, state.known)
    due = state.published_at + PROGRESS_INTERVAL_S
    if payload is None:
        return msgspec.structs.replace(state, publish_due=math.inf)
    if not urgent and now.monotonic < due:
        return msgspec.structs.replace(state, publish_due=due)
    effects.append(Publish(payload))
    return msgspec.structs.replace(state, publish_due=math.inf, published_at=now.monotonic)
