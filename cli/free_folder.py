"""Where a run is written that was given no place."""

import itertools
from pathlib import Path


def free_run_folder(federation: str) -> Path:
    """The first of runs/NAME-001, runs/NAME-002, ... that is not there yet."""
    numbered = (Path("runs", f"{federation}-{number:03d}") for number in itertools.count(1))
    return next(path for path in numbered if not path.exists())
