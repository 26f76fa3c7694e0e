"""What cuts a local round short. They are no Exceptions, so that a task's own handlers let them pass."""


class CancelledError(BaseException):
    """The round was called off: nothing of it is wanted any more."""


class StoppedError(BaseException):
    """The process is to end, and what it has done is saved: another one goes on."""


class NotReadyError(BaseException):
    """The task says that the device may not train now."""
