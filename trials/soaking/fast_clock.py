"""A clock that runs fast, and the agent on a device that has one. `python -m trials.soaking.fast_clock
CLOCK ARTIFACTS` runs the agent.

What the agent reads from its clock is sped up, and so are its pauses. What its training process does, and how long a
call may take, is in real time.
"""

import gc
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

COLLECT_S = 300.0

_monotonic = time.monotonic


class FastClock(msgspec.Struct, frozen=True):
    """Runs `speed` times as fast as time itself; it stood at `wall` (seconds since 1970) when the machine's monotonic
    clock, which all processes share, was at `monotonic`."""

    speed: float
    wall: float
    monotonic: float

    @classmethod
    def start(cls, speed: float) -> "FastClock":
        """One that starts now, and is right as yet."""
        return cls(speed, time.time(), _monotonic())

    def passed(self) -> float:
        """Its seconds since it was started."""
        return (_monotonic() - self.monotonic) * self.speed

    def time(self) -> float:
        """Its seconds since 1970."""
        return self.wall + self.passed()

    def real(self, seconds: float) -> float:
        """How long so many of its seconds take."""
        return seconds / self.speed


if TYPE_CHECKING:
    _Queue = queue.SimpleQueue[Any]
else:
    _Queue = queue.SimpleQueue


def _put_in_place(clock: FastClock) -> None:
    """Makes it this process's clock, for all that is imported later."""

    class Queue(_Queue):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            return super().get(block, None if timeout is None else clock.real(timeout))

    pause = time.sleep
    queue.SimpleQueue = Queue  # type: ignore[misc]
    time.time = clock.time
    time.monotonic = clock.passed
    time.sleep = lambda seconds: pause(clock.real(float(seconds)))


def _collect_for_ever(pause: Callable[[], None]) -> None:
    """Collects garbage, which Python leaves until there is a quarter more than before: it is no leak."""
    while True:
        pause()
        gc.collect()


def _main() -> int:
    # What a library has bound by then, it keeps: how long the socket or a lock may take is real.
    import awsiot.greengrasscoreipc.clientv2  # noqa: F401

    clock = msgspec.json.decode(sys.argv[1], type=FastClock)
    _put_in_place(clock)
    threading.Thread(target=_collect_for_ever, args=(lambda: time.sleep(COLLECT_S),), daemon=True).start()
    from components.client import __main__ as component

    return component.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(_main())
