"""A kind of error, and the statuses that a command ends with."""

from enum import IntEnum
from typing import NamedTuple


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    WRONG_USAGE = 2
    UNREACHABLE = 3
    TIMED_OUT = 4
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "it could not be done, or what came out is not good",
    ExitCode.WRONG_USAGE: "what you wrote is wrong: options, names, federation.yaml, task.py, policies.py, data",
    ExitCode.UNREACHABLE: "what it needs can't be reached: network, AWS, credentials, permissions, the stack",
    ExitCode.TIMED_OUT: "it took longer than it may",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C, SIGTERM or SIGHUP",
}


class Kind(NamedTuple):
    """`code` never changes, scripts rely on it. `raised_as` are the errors' classes, by their full names, so that none
    of their modules is imported to look an error up."""

    code: str
    exit_code: ExitCode
    meaning: str
    raised_as: tuple[str, ...] = ()


class ResultError(Exception):
    """A command came to a result, which is not good; `result` is told with the error."""

    def __init__(self, message: str, result: object) -> None:
        super().__init__(message)
        self.result = result


class RelayedError(Exception):
    """What another fedgrass command failed with, for the one that gave it."""

    def __init__(self, code: str, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code
