"""Figures of real processes and connections."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from sandbox import footprint
from sandbox.footprint import NoConnectionError, Peak, bytes_to, slope

BYTES = 100_000


def test_lives_that_begin_at_different_heights_have_one_slope() -> None:
    steady = [(hour, 1000.0 + 3 * hour) for hour in (1.0, 2.0, 3.0)]
    anew = [(hour, 20.0 + 3 * hour) for hour in (4.0, 6.0)]
    assert slope([steady, anew, []]) == pytest.approx(3.0)


def test_lives_of_one_look_have_no_slope() -> None:
    assert slope([[(1.0, 5.0)], [(2.0, 50.0)]]) == 0.0


def test_processor_time_is_that_of_the_other_process() -> None:
    code = "import sys, time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 0.2 <= footprint.processor_s(process.pid) < 0.3
        process.communicate()


def test_memory_of_children_is_in_the_whole() -> None:
    alone = footprint.proportional_mb(os.getpid())
    code = "import sys\nkept = bytearray(64 * 2**20)\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert footprint.proportional_mb(os.getpid()) > alone + 60
        assert footprint.private_kb(process.pid) > 64 * 1024
        process.communicate()


def test_a_peak_stays_when_it_is_over() -> None:
    values, over = iter([1.0, 7.0, 2.0]), threading.Event()

    def measure() -> float:
        value = next(values, None)
        if value is None:
            over.set()
        return value or 0.0

    with Peak(measure) as peak:
        assert over.wait(60)
    assert peak.value == 7.0


def test_bytes_of_both_ways_and_headers_are_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = server.accept()
            with served:
                client.sendall(b"x" * BYTES)
                served.recv(BYTES, socket.MSG_WAITALL)
                served.sendall(b"y" * BYTES)
                client.recv(BYTES, socket.MSG_WAITALL)
                assert 2 * BYTES < bytes_to(port) < 2.1 * BYTES


def test_without_a_connection_there_is_nothing_to_count() -> None:
    with pytest.raises(NoConnectionError, match="0 connections to port 1"):
        bytes_to(1)
