"""What processes and connections take of a device, as Linux counts it."""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import psutil

MIB = 2**20
_SAMPLE_S = 0.05
_TCP_INFO_BYTES = 144
_IP_AND_TCP_BYTES = 20 + 32
"""Headers of a segment: IPv4, and TCP with the timestamps that Linux puts into each."""


class NoConnectionError(Exception):
    """This process has no connection to the port, or more than one."""


def resident_mb(pid: int) -> float:
    """A process's resident memory (RSS) in MiB: pages that it shares with others are counted in full."""
    return float(psutil.Process(pid).memory_info().rss) / MIB


def private_kb(pid: int) -> float:
    """The memory that is a process's alone (USS) in KiB: it does not change with what others do."""
    return float(psutil.Process(pid).memory_full_info().uss) / 1024


def proportional_mb(pid: int) -> float:
    """The memory of a process and its children in MiB, pages that they share counted once (PSS)."""
    total = 0
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            total += each.memory_full_info().pss
    return total / MIB


def processor_s(pid: int) -> float:
    """The processor time of a process, all its threads together, to the nanosecond.

    psutil's comes in hundredths of a second: too coarse for a process that does next to nothing.
    """
    # What clock_getcpuclockid(3) gives for a process.
    return time.clock_gettime(~pid << 3 | 2)


class Peak:
    """The largest value of `measure` for the time of a `with` block, looked at every 50 ms."""

    def __init__(self, measure: Callable[[], float]) -> None:
        self.value = 0.0
        self._measure = measure
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.value = max(self.value, self._measure())


def bytes_to(port: int) -> int:
    """What has passed over this process's one TCP connection to a port, both ways, with the headers of TCP and IP.

    Raises:
        NoConnectionError: there is none, or more than one.
    """
    found = [
        connection.fd
        for connection in psutil.Process().net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.raddr and connection.raddr.port == port
    ]
    if len(found) != 1:
        raise NoConnectionError(f"this process has {len(found)} connections to port {port}: one is needed")
    with socket.socket(fileno=os.dup(found[0])) as connection:
        raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    # struct tcp_info of linux/tcp.h: tcpi_bytes_acked, tcpi_bytes_received, tcpi_segs_out, tcpi_segs_in
    sent, received, segments_out, segments_in = struct.unpack_from("=QQII", raw, 120)
    return int(sent + received + (segments_out + segments_in) * _IP_AND_TCP_BYTES)


def slope(lives: Iterable[Iterable[tuple[float, float]]]) -> float:
    """The common slope of several lines, each through points (x, y) of its own, by least squares: every line has its
    own intercept (the within estimator of a model with fixed effects). 0 if no line has two points.

    A process that was started anew is another line: what it lost with its end is no gain.
    """
    covariance = variance = 0.0
    for life in lives:
        points = list(life)
        if not points:
            continue
        mean_x = sum(x for x, _ in points) / len(points)
        mean_y = sum(y for _, y in points) / len(points)
        covariance += sum((x - mean_x) * (y - mean_y) for x, y in points)
        variance += sum((x - mean_x) ** 2 for x, _ in points)
    return covariance / variance if variance else 0.0
