"""The memory of the training process: its limit, what is here to stay, and how to tell that it ran out of it."""

import contextlib
import ctypes
import gc
import resource
from collections.abc import Iterator

_TEXTS = ("can't allocate memory", "Cannot allocate memory", "bad_alloc", "out of memory")
"""What torch, its libraries and the system's errors say."""


def limit(megabytes: float) -> None:
    """Has all that this process allocates from here on fail beyond so many MB.

    It is the data segment that is limited, since the address space of torch's libraries is gigabytes that are never
    touched; since Linux 4.7 it counts all private memory that can be written.
    """
    size = int(megabytes * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


@contextlib.contextmanager
def here_to_stay() -> Iterator[None]:
    """What is imported within is not looked through for garbage: not meanwhile, which takes a seventh of the time of a
    process that imports torch, nor later, nor as it ends, which takes a sixth."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def release() -> None:
    """Gives back to the system what is not used any more, as far as it can be found."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc's alone
        trim(0)


def ran_out(error: BaseException) -> bool:
    """Whether an exception, or one that it came from, says that there was no memory."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, MemoryError) or (
            isinstance(current, RuntimeError | OSError) and any(text in str(current) for text in _TEXTS)
        ):
            return True
        current = current.__cause__
    return False


def peak_mb() -> float:
    """The most that this process has had in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
