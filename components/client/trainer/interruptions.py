"""What cuts a local round short. They are no Exceptions, so that a task's own handlers let them pass."""


class InterruptionError(BaseException):
    """The round does not come to its end in this process, through no fault of its own."""


class CancelledError(InterruptionError):
    """The round was called off: nothing of it is wanted any more."""


class StoppedError(InterruptionError):
    """The process is to end, and what it has done is saved: another one goes on."""


class NotReadyError(InterruptionError):
    """The task says that the device may not train now."""
