"""Runs one deployed function as Lambda does, kills it at any of its AWS calls, and lets it live at a time of its own.

Run as a script (`python functions_host.py CODE LAYER HANDLER [FAULTS]`) in the function's environment, not as a module:
it must find the deployed code only. FAULTS is a Python file whose `with_faults` makes another handler of the handler.
The host imports the handler once; each execution environment is a fork of it, which handles one event after another,
until it is killed. So a life costs milliseconds, and begins with everything cold that the handler's code keeps.

Lines of JSON come in on standard input, and one goes out on standard output for each:

    {event, now, remaining_s, request_id, kill}   -> {result, error, calls}, or {died} if it was killed
    {event: null}                                 -> {died}: the next event gets a new environment

`now` is the time for as long as the event is handled. `kill` is {operation, occurrence, moment}: the environment ends
at once, all its threads with it, before the request of that AWS call is sent, or after its response has come. No
operation means any. `calls` are the AWS calls that were made, in their order.
"""

import functools
import importlib
import json
import logging
import os
import runpy
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

PART_BYTES = 1_100
"""A small model has several parts of this size."""
KEPT_BYTES = 5_000
"""So that some updates are read again."""

KILLED = 137
_FINISHED = 3


class _KillSwitch:
    """Sees every AWS call of the process, whichever thread makes it, and ends the process at one of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._this_thread = threading.local()
        self.arm(None)

    def arm(self, kill: dict[str, Any] | None) -> None:
        """Begin an invocation: forget the calls of the one before."""
        self._kill = kill or {}
        self.calls: list[str] = []

    def before(self, event_name: str, **_: Any) -> None:
        """botocore is about to send a request."""
        operation = event_name.removeprefix("before-send.")
        with self._lock:
            self.calls.append(operation)
            wanted = self._kill.get("operation")
            occurrence = self.calls.count(operation) if wanted else len(self.calls)
            is_it = occurrence == self._kill.get("occurrence") and wanted in (None, operation)
        self._this_thread.called_it = is_it
        if is_it and self._kill["moment"] == "before":
            os._exit(KILLED)

    def after(self, **_: Any) -> None:
        """botocore has received a response."""
        if self._this_thread.called_it and self._kill["moment"] == "after":
            os._exit(KILLED)


class _Time:
    """In the place of time.time: a time that stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class _Context:
    def __init__(self, request_id: str, remaining_s: float) -> None:
        self.aws_request_id = request_id
        self._end = time.monotonic() + remaining_s

    def get_remaining_time_in_millis(self) -> int:
        return int(max(0.0, self._end - time.monotonic()) * 1000)


def _send_at_once(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Send a delayed message now, with the time at which it is due: whoever receives it lets that time pass."""
    due = time.time() + params.get("DelaySeconds", 0)
    at_once = {name: value for name, value in params.items() if name != "DelaySeconds"}
    return at_once | {"MessageAttributes": {"due": {"DataType": "Number", "StringValue": repr(due)}}}


def _prepare(switch: _KillSwitch, code: str, layer: str, handler: str, *faults: str) -> Callable[[Any, Any], Any]:
    """The handler, imported, with its services made: that takes no AWS call, and half a second."""
    sys.path[:1] = [code, f"{layer}/python"]
    from botocore import handlers

    handlers.BUILTIN_HANDLERS += [
        ("before-send", switch.before),
        ("response-received", switch.after),
        ("provide-client-params.sqs.SendMessage", _send_at_once),
    ]
    module, _, name = handler.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    for file in faults:
        function = runpy.run_path(file)["with_faults"](function)
    services = importlib.import_module("cloud.services").from_environment(PART_BYTES, KEPT_BYTES)
    if switch.calls:
        raise RuntimeError(f"{handler} makes AWS calls before its first event: {switch.calls}")
    return functools.partial(function, outside=services)


def _requests() -> Iterator[dict[str, Any]]:
    """Each request comes after the answer to the one before: none is lost in the buffer of a fork that dies."""
    while line := sys.stdin.readline():
        yield json.loads(line)


def _live(function: Callable[[Any, Any], Any], switch: _KillSwitch, clock: _Time, answers: TextIO) -> NoReturn:
    """The life of one execution environment."""
    time.time = clock
    for request in _requests():
        if request["event"] is None:
            os._exit(0)
        clock.now = request["now"]
        switch.arm(request["kill"])
        answer: dict[str, Any] = {"result": None, "error": None}
        try:
            answer["result"] = function(request["event"], _Context(request["request_id"], request["remaining_s"]))
        except Exception as error:  # as Lambda does: the event failed, the environment lives on
            traceback.print_exc()
            answer["error"] = f"{type(error).__name__}: {error}"
        _tell(answers, answer | {"calls": switch.calls})
    os._exit(_FINISHED)


def _tell(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the function prints belongs in the log
    logging.basicConfig(stream=sys.stderr)
    switch, clock = _KillSwitch(), _Time()
    function = _prepare(switch, *sys.argv[1:])
    while True:
        child = os.fork()
        if not child:
            _live(function, switch, clock, answers)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == _FINISHED:
            return
        _tell(answers, {"died": status})


if __name__ == "__main__":
    main()
