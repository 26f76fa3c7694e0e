"""The training process: takes requests from the agent on stdin, one at a time, and says how they go.

It never outlives the agent: it ends when stdin does, and Linux kills it when the agent has died. A request is called
off by an exception, raised wherever the main thread is; what has been loaded stays. Told to end, by the agent or by
SIGTERM, it saves a checkpoint first if it can.
"""

import ctypes
import gc
import logging
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from components.client import exchange, logs, memory
from components.client.exchange import (
    EXIT_STOPPED,
    Advanced,
    Began,
    Cancel,
    Cancelled,
    Ended,
    Loaded,
    NotReady,
    Stop,
    Train,
    Workplace,
)
from components.client.interruptions import CancelledError, NotReadyError, StoppedError
from protocol.messages import Progress

if TYPE_CHECKING:
    from components.client.local_round import LocalTrainer

log = logging.getLogger("components.client.trainer")

PR_SET_PDEATHSIG = 1


class Trainer:
    """Serves requests until stdin ends."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._requests: queue.SimpleQueue[Train] = queue.SimpleQueue()
        self._running: int | None = None
        self._cancelled = 0
        self._number = 0
        self._local: LocalTrainer | None = None

    def serve(self) -> None:
        """Takes requests for ever; the thread that reads them ends the process."""
        signal.signal(signal.SIGUSR1, self._on_cancel)
        signal.signal(signal.SIGTERM, self._on_stop)
        threading.Thread(target=self._read, args=(threading.get_ident(),), name="requests", daemon=True).start()
        while True:
            request = self._requests.get()
            self._number = request.number
            self._say(Began(request.number))
            end = self._train(request)
            memory.release()
            self._say(end)

    def _train(self, request: Train) -> Ended | Cancelled | NotReady:
        """How the request ended."""
        try:
            if self._local is None:
                self._local = self._prepare()
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
            os._exit(EXIT_STOPPED)
        except Exception as error:
            # Whatever it is, it concerns this round alone, and the operator has to hear of it.
            self._running = None
            log.exception("the round failed", extra={"round": request.assignment.round})
            progress = Progress(round=request.assignment.round, phase="failed", reason=self._explain(error))
        finally:
            self._running = None
        return Ended(request.number, progress)

    def _explain(self, error: Exception) -> str:
        known = type(error).__module__.startswith(("components.", "protocol."))
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        if not memory.ran_out(error):
            return reason
        allowed = self._workplace.memory_mb
        limit = f"memory_mb is {allowed:g}, " if allowed else ""
        return f"out of memory ({limit}{memory.peak_mb():.0f} MB were used): {reason}"

    def _prepare(self) -> "LocalTrainer":
        """Imports torch, boto3 and the task. This takes seconds, and is never interrupted: a module that was half
        imported could not be imported again."""
        gc.disable()  # looking for garbage among what is being imported takes a fifth of the time
        try:
            from components.client import s3_client
            from components.client.local_round import LocalTrainer
            from components.client.transfer import Transfer

            return LocalTrainer(
                self._workplace,
                lambda kept, on_failure: Transfer(s3_client.make, self._workplace.bucket, kept, on_failure),
                lambda progress: self._say(Advanced(self._number, progress)),
                lambda examples: self._say(Loaded(self._number, examples)),
            )
        finally:
            gc.freeze()  # what is imported is here to stay
            gc.enable()

    def _read(self, main_thread: int) -> None:
        decoder = msgspec.json.Decoder(exchange.Request)
        for line in sys.stdin.buffer:
            match decoder.decode(line):
                case Train() as request:
                    self._requests.put(request)
                case Cancel(number):
                    self._cancelled = number
                    if self._running is None:
                        self._say(Cancelled(number))  # it has ended, or will not begin
                    else:
                        signal.pthread_kill(main_thread, signal.SIGUSR1)
                case Stop():
                    signal.pthread_kill(main_thread, signal.SIGTERM)
        os._exit(0)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._local is None or not self._local.stop():
            os._exit(EXIT_STOPPED)

    def _on_cancel(self, _number: int, _frame: FrameType | None) -> None:
        if self._running is not None and self._running <= self._cancelled:
            self._running = None
            raise CancelledError

    def _say(self, event: exchange.Event) -> None:
        os.write(self._workplace.events, msgspec.json.encode(event) + b"\n")


def _volunteer_for_the_oom_killer() -> None:
    """When the device runs out of memory, this process is to go, not the agent or the nucleus."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError as error:
        log.debug("cannot set the score for the out-of-memory killer: %s", error)


def _die_with_the_agent() -> None:
    """Has Linux kill this process when the agent dies, however it does: what runs may be one long call of C."""
    if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        log.debug("this system does not kill processes with their parents")


def main() -> None:
    """`python -m components.client.trainer WORKPLACE`, where that is `exchange.Workplace` as JSON."""
    workplace = msgspec.json.decode(sys.argv[1], type=Workplace)
    logs.configure(federation=workplace.federation, thing=workplace.thing)
    _die_with_the_agent()
    _volunteer_for_the_oom_killer()
    os.nice(workplace.niceness)
    if workplace.memory_mb:
        memory.limit(workplace.memory_mb)
    Trainer(workplace).serve()


if __name__ == "__main__":
    main()
