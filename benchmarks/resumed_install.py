"""How com.fedgrass.Runtime gets installed on a slow line in tries that are too short for it, as on nucleus lite.

    python -m benchmarks.resumed_install --line-mbit 2 --try-s 30

The packages are a tenth of what a Raspberry Pi gets: 22 wheels, of which torch's is two thirds. Each try is killed when
its time is over, and another one begins.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sandbox.package_index import PackageIndex

INSTALL = Path(__file__).parents[1] / "components" / "runtime" / "install.sh"
WHEEL_BYTES = (10_400_000, *(266_000,) * 21)
MAX_TRIES = 50


class SlowIndex(PackageIndex):
    """An index on a line of its own."""

    def __init__(self, bytes_per_s: float) -> None:
        super().__init__()
        self._bytes_per_s = bytes_per_s

    def chunks(self, file: str, rest: bytes) -> Iterator[bytes]:
        """As fast as the line."""
        began, done = time.monotonic(), 0
        for chunk in super().chunks(file, rest):
            yield chunk
            done += len(chunk)
            time.sleep(max(0.0, began + done / self._bytes_per_s - time.monotonic()))


def run_try(arguments: list[str], limit_s: float) -> bool:
    """Whether the installation came to its end."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(limit_s) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False


def main() -> int:
    """Prints a line a try; the exit status is 1 if they do not get there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line-mbit", type=float, default=2.0, help="megabits per second")
    parser.add_argument("--try-s", type=float, default=30.0, help="seconds after which a try is killed")
    options = parser.parse_args()
    index = SlowIndex(options.line_mbit * 1e6 / 8)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            return _measure(index, Path(temporary), options.try_s)
    finally:
        index.close()


def _measure(index: SlowIndex, directory: Path, try_s: float) -> int:
    names = [f"package{number}" for number in range(len(WHEEL_BYTES))]
    files = [index.offer(name, "1.0", size) for name, size in zip(names, WHEEL_BYTES, strict=True)]
    total = sum(map(index.size, files))
    requirements = directory / "requirements.txt"
    requirements.write_text(
        "".join(f"{name}==1.0 --hash=sha256:{index.sha256(file)}\n" for name, file in zip(names, files, strict=True))
    )
    work = directory / "work"
    work.mkdir()
    arguments = ["/bin/sh", str(INSTALL), str(directory), str(work), "cpu", index.url, index.url, "", "", ""]
    for number in range(1, MAX_TRIES + 1):
        before = index.sent
        done = run_try(arguments, try_s)
        noted = len(list(work.glob("venv-*/installed/*")))
        sys.stdout.write(
            f"try {number}: {(index.sent - before) / 1e6:.1f} MB came, {noted} of {len(files)} wheels installed\n"
        )
        sys.stdout.flush()
        if done:
            sys.stdout.write(f"{index.sent / 1e6:.2f} MB came in all, of {total / 1e6:.2f} MB, in {number} tries\n")
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
