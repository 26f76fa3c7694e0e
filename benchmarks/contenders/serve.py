"""The process of one contender: requests come on standard input, one JSON object a line, answers go out the same way.

`python -m benchmarks.contenders.serve flower resnet18`
"""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TextIO

import numpy as np

from benchmarks.contenders.inputs import Contender, update_paths

CONTENDERS = {
    "ours": "Ours",
    "limit": "Limit",
    "flower": "Flower",
    "flare": "Flare",
    "predecessor": "Predecessor",
}
"""Module in this package -> its class."""

_PEAK_RESIDENT = "VmHWM:"


def serve(contender: Contender, requests: TextIO) -> Iterator[dict[str, float]]:
    """Do what each line asks, and say how that went.

    `average` answers with `seconds`, and with `peak_bytes`: by how much the process's resident memory grew at most.
    """
    for line in requests:
        request = json.loads(line)
        directory, model = Path(request.get("directory", "")), Path(request.get("model", ""))
        clients = request.get("clients", 0)
        match request["do"]:
            case "prepare":
                contender.prepare(clients, directory)
                yield {}
            case "average":
                updates = update_paths(directory, clients)
                before = _restart_peak()
                start = time.perf_counter()
                contender.average(updates, model)
                seconds = time.perf_counter() - start
                yield {"seconds": seconds, "peak_bytes": _peak() - before}
            case "read":
                np.save(Path(request["into"]), contender.read(model), allow_pickle=False)
                yield {}


def _restart_peak() -> int:
    # Linux: 5 sets the peak resident size back to what is resident now (proc(5), clear_refs).
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index(_PEAK_RESIDENT) + 1]) * 1024


def main() -> None:
    """Serve the contender that the command line names, until standard input ends."""
    logging.disable(logging.CRITICAL)
    name, architecture = sys.argv[1:]
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # so that a library that prints doesn't break the protocol
        contender: Contender = getattr(import_module(f"benchmarks.contenders.{name}"), CONTENDERS[name])(architecture)
        for answer in serve(contender, sys.stdin):
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
