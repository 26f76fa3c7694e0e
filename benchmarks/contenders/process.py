"""Contenders as processes: started, asked and ended from here."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

PEERS = Path(sys.prefix) / "peers"
"""The virtual environment of the peers: `make bench-peers` links it there."""

_PEERS = frozenset({"flower", "flare"})
REPOSITORY = Path(__file__).parents[2]
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}

AS_DEPLOYED = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
"""What cloud/template.yaml sets for the averager as well: memory that was freed stays with its process."""


class ContenderError(RuntimeError):
    """A contender's process ended before it had answered; the reason is on its standard error."""


class ContenderProcess:
    """One contender, in its own environment, with libraries that use one thread. Calls must not overlap."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        self.name = name
        self._process = process
        self._requests = cast("IO[str]", process.stdin)  # both are pipes
        self._answers = cast("IO[str]", process.stdout)

    def ask(self, do: str, **request: str | int) -> dict[str, Any]:
        """Have something done (its module says what there is), and wait for the answer.

        Raises:
            ContenderError: the process ended.
        """
        try:
            self._requests.write(json.dumps({"do": do, **request}) + "\n")
            self._requests.flush()
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ContenderError(f"{self.name} ended with code {self._process.wait()} while it was asked to {do}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def is_present(name: str) -> bool:
    """Whether a contender's environment is there."""
    return name not in _PEERS or _python(name).exists()


@contextlib.contextmanager
def started(name: str, architecture: str, *, as_deployed: bool = False) -> Iterator[ContenderProcess]:
    """A contender's process, which ends with the block. Ours has the variables of AS_DEPLOYED in any case, another one
    if `as_deployed` says so."""
    variables = AS_DEPLOYED if as_deployed or name == "ours" else {}
    with serving(name, "benchmarks.contenders.serve", architecture, variables=variables) as process:
        yield process


@contextlib.contextmanager
def serving(name: str, module: str, *arguments: str, variables: Mapping[str, str] = {}) -> Iterator[ContenderProcess]:
    """The process of a module that is told the contender's name and these arguments; it ends with the block."""
    with subprocess.Popen(
        [_python(name), "-m", module, name, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **_ONE_THREAD, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        # Leaving the block closes standard input, at whose end the process ends as well.
        yield ContenderProcess(name, process)


def _python(name: str) -> Path:
    return PEERS / "bin" / "python" if name in _PEERS else Path(sys.executable)
