"""The process of one contender: requests come on standard input, one JSON object a line, answers go out the same way.

`python -m benchmarks.simulators.serve vectorized DIRECTORY`
"""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TextIO


class Contender(Protocol):
    """What simulates the project in a directory."""

    def rounds(self, number: int) -> list[float]:
        """The seconds of so many rounds, after one that is not counted."""
        ...

    def accuracy(self) -> float:
        """Of the last model on data that no client has."""
        ...


def _plain(directory: Path) -> Contender:
    from benchmarks.simulators.plain import Plain

    return Plain(directory)


def _loop(directory: Path) -> Contender:
    from benchmarks.simulators.ours import Ours

    return Ours(directory)


def _vectorized(directory: Path) -> Contender:
    from benchmarks.simulators.ours import Ours

    return Ours(directory, threads=len(os.sched_getaffinity(0)))


def _flower(directory: Path) -> Contender:
    from benchmarks.simulators.flower import Flower

    return Flower(directory)


CONTENDERS: dict[str, Callable[[Path], Contender]] = {
    "bare": _plain,
    "loop": _loop,
    "vectorized": _vectorized,
    "flower": _flower,
}


def serve(contender: Contender, requests: TextIO) -> Iterator[dict[str, object]]:
    """Simulate as many rounds as each line asks for; `peak_mb` is what the process had resident at most, `cpu_s` what a
    round took of its processors, without other processes."""
    for line in requests:
        number = json.loads(line)["rounds"]
        before = time.process_time()
        seconds = contender.rounds(number)
        cpu_s = (time.process_time() - before) / (number + 1)
        status = Path("/proc/self/status").read_text().split()
        peak_mb = int(status[status.index("VmHWM:") + 1]) / 1000
        yield {"seconds": seconds, "accuracy": contender.accuracy(), "peak_mb": peak_mb, "cpu_s": cpu_s}


def main() -> None:
    """Serve the contender that the command line names, until standard input ends."""
    logging.disable(logging.CRITICAL)
    name, directory = sys.argv[1:]
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # so that a library that prints doesn't break the protocol
        for answer in serve(CONTENDERS[name](Path(directory)), sys.stdin):
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
