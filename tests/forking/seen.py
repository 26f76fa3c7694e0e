"""`python -m tests.forking.seen`: says what a process sees of itself, and ends by SIGTERM."""

import json
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """In a line of JSON; something goes to the file whose number is the first argument."""
    umask = os.umask(0)
    seen = {
        "parent": os.getppid(),
        "leads its group": os.getpgid(0) == os.getpid(),
        "leads its session": os.getsid(0) == os.getpid(),
        "umask": umask,
        "niceness": os.nice(0),
        "directory": str(Path.cwd()),
        "arguments": sys.argv,
        "path": sys.path[:2],
        "environment": {name: value for name, value in os.environ.items() if name != "LC_CTYPE"},
        "SIGINT": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "SIGTERM": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "files": sorted(int(file.name) for file in Path("/proc/self/fd").iterdir() if int(file.name) < 512)[:-1],
        "torch": "torch" in sys.modules,
        "input": sys.stdin.read(),
        "encodings": [sys.stdin.encoding, sys.stdout.encoding, sys.stderr.errors],
    }
    os.write(int(sys.argv[1]), b"by its number")
    sys.stdout.write(json.dumps(seen))
    sys.stdout.flush()
    sys.stderr.write("and an error\n")
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
