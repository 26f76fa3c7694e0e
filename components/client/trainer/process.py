"""The training process: takes its configuration and then requests from the agent on stdin, one at a time, and says how
they go.

It never outlives the agent: it ends when its input does, and Linux kills it when the agent has died. A request is
called off by an exception, raised wherever the main thread is; what has been loaded stays. Told to end, by the agent or
by SIGTERM, it saves a checkpoint first if it can. Whatever else a task does, the agent hears of it, or sees the process
end; processes that the task forks have no part in this.
"""

import logging
import os
import queue
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import msgspec

from components.client import exchange, logs
from components.client.exchange import (
    Advanced,
    Began,
    Cancel,
    Cancelled,
    Ended,
    Entered,
    Loaded,
    NotReady,
    Stop,
    Stopped,
    Train,
    TrainerConfiguration,
)
from components.client.trainer import memory
from components.client.trainer.failures import explain
from components.client.trainer.interruptions import CancelledError, NotReadyError, StoppedError
from components.client.trainer.parent import die_with_the_parent
from protocol.messages import Progress

if TYPE_CHECKING:
    from components.client.trainer.local_round import LocalTrainer

log = logging.getLogger("components.client.trainer.process")


class RequestServer:
    """Serves the requests that come in by `lines` until these end."""

    def __init__(self, configuration: TrainerConfiguration, lines: BinaryIO) -> None:
        self._configuration = configuration
        self._events: int | None = configuration.events
        self._lines = lines
        self._requests: queue.SimpleQueue[Train] = queue.SimpleQueue()
        self._running: int | None = None
        self._cancelled = 0
        self._number = 0
        self._local: LocalTrainer | None = None

    def serve(self) -> None:
        """Takes requests for ever; the thread that reads them ends the process."""
        signal.signal(signal.SIGUSR1, self._on_cancel)
        signal.signal(signal.SIGTERM, self._on_stop)
        os.register_at_fork(after_in_child=self._part)
        threading.Thread(target=self._read, args=(threading.get_ident(),), name="requests", daemon=True).start()
        while True:
            request = self._requests.get()
            self._number = request.number
            end = self._train(request)
            memory.release()
            self._say(end)

    def _train(self, request: Train) -> Ended | Cancelled | NotReady:
        """How the request ended."""
        try:
            if self._local is None:
                self._say(Entered(request.number, "the import of torch and task.py"))
                self._local = self._prepare()
            self._say(Began(request.number))
            self._running = request.number  # from here on a signal raises
            if request.number <= self._cancelled:
                return Cancelled(request.number)
            progress = self._local.run(request.assignment, request.accepted_at, request.cloud_offset_s)
            self._running = None  # and from here on it does not
        except CancelledError:
            return Cancelled(request.number)
        except NotReadyError:
            return NotReady(request.number)
        except StoppedError:
            log.info("stopped, to go on later", extra={"round": request.assignment.round})
            self._stop()
        except BaseException as error:
            # Whatever it is, it concerns this round alone, and the operator has to hear of it.
            self._running = None
            log.exception("the round failed", extra={"round": request.assignment.round})
            reason = explain(error, self._configuration.memory_mb)
            progress = Progress(round=request.assignment.round, phase="failed", reason=reason)
        finally:
            self._running = None
        return Ended(request.number, progress)

    def _prepare(self) -> "LocalTrainer":
        """Imports torch, botocore and the task. This takes seconds, and is never interrupted: a module that was half
        imported could not be imported again."""
        with memory.here_to_stay():
            from components.client.trainer.local_round import LocalTrainer

            return LocalTrainer(
                self._configuration,
                lambda progress: self._say(Advanced(self._number, progress)),
                lambda examples: self._say(Loaded(self._number, examples)),
                lambda step: self._say(Entered(self._number, step)),
            )

    def _read(self, main_thread: int) -> None:
        decoder = msgspec.json.Decoder(exchange.Request)
        for line in self._lines:
            match decoder.decode(line):
                case Train() as request:
                    self._requests.put(request)
                case Cancel(number):
                    self._cancelled = number
                    if self._running is not None:  # else it has ended, or the main thread will see, and say, so
                        signal.pthread_kill(main_thread, signal.SIGUSR1)
                case Stop():
                    signal.pthread_kill(main_thread, signal.SIGTERM)
        os._exit(0)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._local is None or not self._local.stop():
            self._stop()

    def _stop(self) -> NoReturn:
        self._say(Stopped())
        os._exit(0)

    def _part(self) -> None:
        """In a process that the task has forked: it says nothing, and signals end it, as any other."""
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if self._events is not None:
            os.close(self._events)  # or the agent would not see that this process's parent has ended
            self._events = None
            os.close(self._lines.fileno())

    def _on_cancel(self, _number: int, _frame: FrameType | None) -> None:
        if self._running is not None and self._running <= self._cancelled:
            self._running = None
            raise CancelledError

    def _say(self, event: exchange.Event) -> None:
        if self._events is not None:
            os.write(self._events, msgspec.json.encode(event) + b"\n")  # in one piece: it is shorter than PIPE_BUF


def _take_stdin() -> BinaryIO:
    """What comes by stdin, which is /dev/null from here on. A task that reads its input gets none of the
    agent's requests; and a process that it forks can close its stdin, though a thread of this one waits for more."""
    taken = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return os.fdopen(taken, "rb")


def _volunteer_for_the_oom_killer() -> None:
    """When the device runs out of memory, this process is to go, not the agent or the nucleus."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError as error:
        log.debug("cannot set the score for the out-of-memory killer: %s", error)


def main() -> None:
    """`python -m components.client.trainer.process`; the first line of its input is `exchange.TrainerConfiguration`."""
    lines = _take_stdin()
    configuration = msgspec.json.decode(lines.readline(), type=TrainerConfiguration)
    logs.configure(federation=configuration.federation, thing=configuration.thing)
    die_with_the_parent()
    _volunteer_for_the_oom_killer()
    os.nice(configuration.niceness)
    os.set_inheritable(configuration.events, False)
    if configuration.memory_mb:
        memory.limit(configuration.memory_mb)
    RequestServer(configuration, lines).serve()


if __name__ == "__main__":
    main()
