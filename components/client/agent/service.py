"""The agent's loop: turns what IPC, the training process and the clock say into events, and effects into calls."""

import contextlib
import logging
import queue
import time
from pathlib import Path

import msgspec

from components.client import device, exchange, logs
from components.client.agent import events as agent_events
from components.client.agent import ipc, last_assignment, shadow_events, state_machine, supervisor
from components.client.agent.configuration import Configuration
from components.client.agent.configuration_watcher import Reconfiguration
from components.client.agent.connection import Line
from components.client.agent.deployment_deferral import Deferrals
from components.client.agent.events import Moment
from components.client.agent.gate import Gate
from components.client.agent.ipc import Ipc, IpcError
from components.client.agent.readiness import Readiness
from components.client.agent.state_machine import State
from components.client.agent.supervisor import NotStarted, Supervisor
from components.client.agent.training_process import Exited, TrainerMessage
from components.client.device import hello
from protocol import messages, names

log = logging.getLogger(__name__)

FIRST_SUBSCRIBE_RETRY_S = 1.0
MAX_SUBSCRIBE_RETRY_S = 30.0

GRACE_S = 3.5
"""How long the training process gets to save a checkpoint at the end: the classic nucleus kills after 5 s."""

Event = ipc.Event | supervisor.Event | messages.Progress


class ConnectionLostError(Exception):
    """The nucleus has gone: this process has to be started anew by it."""


class Service:
    """One federation on one device. `events` is what `connection` posts to."""

    def __init__(
        self,
        settings: Configuration,
        thing: str,
        artifacts: Path,
        work: Path,
        connection: Ipc,
        events: "queue.SimpleQueue[Event]",
    ) -> None:
        self._configuration = settings
        self._federation = settings.federation
        self._thing = thing
        self._artifacts = artifacts
        self._work = work
        self._connection = connection
        self._events = events
        self._memory = work / "finished.json"
        self._line = Line(connection.publish, tuple(map(self._topic, names.SHADOW_REQUESTS)))
        self._supervisor = Supervisor(self._trainer_configuration(settings), settings.keep_warm_s, events.put)
        self._gate = Gate(
            settings.policy,
            lambda: device.read(work),
            lambda assignment: self._supervisor.train(assignment, time.time(), self._state.cloud_offset_s),
        )
        self._readiness = Readiness(settings.policy.conditions, lambda: device.read(work))
        self._deferrals = Deferrals(settings.defer_updates_s)
        self._reconfiguration = Reconfiguration(connection, settings, time.monotonic())
        self._state = State(
            reconcile_s=settings.reconcile_s,
            finished=last_assignment.load(self._memory, settings.federation, thing),
        )
        self._handlers = shadow_events.handlers(settings.federation, thing)

    def run(self) -> None:
        """Serves until the process is told to stop. Comes back when the configuration names another federation.

        Raises:
            ConnectionLostError: the nucleus has gone.
        """
        try:
            self._subscribe()
            self._connection.say_running()
            self._step(agent_events.Started())
            while self._configuration.federation == self._federation:
                self._wait()
        finally:
            self._supervisor.shut_down(GRACE_S)

    def _trainer_configuration(self, settings: Configuration) -> exchange.TrainerConfiguration:
        return exchange.TrainerConfiguration(
            federation=settings.federation,
            thing=self._thing,
            bucket=settings.bucket,
            artifacts=str(self._artifacts),
            dataset=settings.dataset or str(self._artifacts),
            held_out=settings.held_out,
            work=str(self._work),
            threads=settings.threads,
            checkpoint_steps=settings.checkpoint_steps,
            checkpoint_s=settings.checkpoint_s,
            niceness=settings.niceness,
            memory_mb=settings.memory_mb,
            events=-1,
        )

    def _topic(self, operation: str) -> str:
        return names.shadow_topic(self._federation, self._thing, operation)

    @property
    def _is_busy(self) -> bool:
        return self._state.running is not None

    def _subscribe(self) -> None:
        for topic in self._handlers:
            wait_s = FIRST_SUBSCRIBE_RETRY_S
            while True:
                try:
                    self._connection.subscribe(topic)
                    break
                except IpcError as error:
                    log.warning(
                        "cannot subscribe; trying again in %.0f s",
                        wait_s,
                        extra={"topic": topic, "error": error},
                    )
                pause(self._events, wait_s)
                wait_s = min(2 * wait_s, MAX_SUBSCRIBE_RETRY_S)
        self._connection.watch_connection()
        self._connection.watch_deployments()

    def _wait(self) -> None:
        """Takes one event, or lets the time pass until something is due."""
        parts = (self._gate, self._readiness, self._supervisor, self._line, self._reconfiguration)
        wake = min(state_machine.next_wake(self._state), *(part.next_wake() for part in parts))
        with contextlib.suppress(queue.Empty):
            self._take(self._events.get(timeout=max(0.0, wake - time.monotonic())))
        now = time.monotonic()
        self._supervisor.tick(now)
        self._tell(self._gate.tick(now))
        if self._line.tick(now):
            self._subscribe_anew()
        if (new := self._reconfiguration.tick(now)) is not None:
            self._configure(new, now)
        if self._readiness.tick(now, busy=self._is_busy):
            self._step(agent_events.ReadinessChanged())
        if now >= state_machine.next_wake(self._state):
            self._step(agent_events.Tick())

    def _take(self, event: Event) -> None:
        translated: agent_events.Event | None = None
        now = time.monotonic()
        match event:
            case ipc.Received(topic, payload) if topic in self._handlers:
                self._line.on_received(now)
                translated = self._handlers[topic](payload)
            case ipc.Outcome():
                self._line.on_outcome(event, now)
            case ipc.LineChanged(connected):
                self._line.on_change(connected=connected, now=now)
                translated = agent_events.Connected() if connected else None
            case ipc.ConfigurationChanged():
                self._reconfiguration.on_told(now)
            case ipc.Deploying(deployment):
                self._answer(deployment)
            case messages.Progress():
                translated = agent_events.TrainingAdvanced(event)
            case ipc.Lost(reason):
                raise ConnectionLostError(reason)
            case TrainerMessage() | Exited() | NotStarted():
                match self._supervisor.on_event(event, now):
                    case exchange.Loaded(_, examples):
                        translated = agent_events.DataLoaded(examples)
                    case exchange.Entered(_, step):
                        translated = agent_events.StepEntered(step)
                    case exchange.NotReady():
                        self._step(agent_events.StepEntered(None))
                        self._tell(self._gate.on_not_ready(now))
                    case messages.Progress() as progress:
                        translated = agent_events.TrainingAdvanced(progress)
        if translated is not None:
            self._step(translated)

    def _subscribe_anew(self) -> None:
        log.warning("nothing answers what is published: subscribing anew")
        for topic in self._handlers:
            self._connection.renew(topic)
        self._step(agent_events.Connected())

    def _configure(self, new: Configuration, now: float) -> None:
        """Takes up a new configuration. A round that is under way ends as it began."""
        self._configuration = new
        self._supervisor.keep_warm_s = new.keep_warm_s
        self._supervisor.reconfigure(self._trainer_configuration(new))
        self._gate.change(new.policy, now)
        self._readiness.change(new.policy.conditions, now)
        self._deferrals.limit_s = new.defer_updates_s
        self._state = msgspec.structs.replace(self._state, reconcile_s=new.reconcile_s)

    def _answer(self, deployment: str) -> None:
        progress = self._state.said.progress
        busy = progress is not None and progress.phase in ("training", "uploading")
        recheck_after_ms = self._deferrals.answer_ms(deployment, busy=busy, now=time.monotonic())
        log.info("a deployment %s", "waits for the round" if recheck_after_ms else "may go on")
        self._connection.defer(deployment, recheck_after_ms)

    def _tell(self, progress: messages.Progress | None) -> None:
        if progress is not None:
            self._events.put(progress)  # not at once: what is being done now may have an older one to publish

    def _step(self, event: agent_events.Event) -> None:
        said = self._state.said.progress
        self._state, effects = state_machine.step(self._state, event, Moment(time.time(), time.monotonic()))
        for effect in effects:
            self._perform(effect)
        progress = self._state.said.progress
        running = progress if self._state.running else None
        logs.place(running.round if running else None, running.phase if running else None)
        if progress is not None and (said is None or (said.round, said.phase) != (progress.round, progress.phase)):
            log.info(
                "progress",
                extra={"round": progress.round, "phase": progress.phase, "reason": progress.reason},
            )

    def _perform(self, effect: agent_events.Effect) -> None:
        now = time.monotonic()
        match effect:
            case agent_events.Get():
                self._line.put(self._topic("get"), b"{}", now)
            case agent_events.Unanswered(silent_s, retry_s):
                log.warning(
                    "the shadow has not been given for %.0f s; asking again in %.0f s",
                    silent_s,
                    retry_s,
                    extra={"reason": "no connection, a subscription that was refused, or one that has gone silent"},
                )
            case agent_events.Publish(payload):
                self._line.put(self._topic("update"), payload, now)
            case agent_events.SayHello(examples):
                ready = self._readiness.look(now, busy=self._is_busy)
                message = messages.encode(hello(examples, ready=ready))
                self._line.put(names.hello_topic(self._federation, self._thing), message, now)
            case agent_events.Train(assignment):
                self._tell(self._gate.submit(assignment, now))
            case agent_events.Cancel(reason):
                log.info("training called off", extra={"reason": reason})
                self._gate.cancel()
                self._supervisor.cancel(now)
            case agent_events.Remember(end):
                try:
                    last_assignment.save(self._memory, self._federation, self._thing, end)
                except OSError as error:
                    log.warning(
                        "cannot save %s: a restart would train this round again",
                        self._memory,
                        extra={"error": error, "round": end.progress.round},
                    )
            case agent_events.Forget(end):
                log.warning(
                    "dropped what was remembered",
                    extra={"reason": f"it is of another life of the federation: {end.progress.life or 'an older one'}"},
                )
            case agent_events.Complain(reason):
                log.error("the shadow holds no assignment that this component understands", extra={"reason": reason})


def pause(events: "queue.SimpleQueue[Event]", seconds: float, until: type[Event] | None = None) -> None:
    """Lets time pass before the agent has begun, or until such an event: what else arrives meanwhile is not missed,
    for it begins with a GET.

    Raises:
        ConnectionLostError: the nucleus has gone.
    """
    end = time.monotonic() + seconds
    with contextlib.suppress(queue.Empty):
        while True:
            event = events.get(timeout=max(0.0, end - time.monotonic()))
            if isinstance(event, ipc.Lost):
                raise ConnectionLostError(event.reason)
            if until is not None and isinstance(event, until):
                return
