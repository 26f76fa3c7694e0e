"""Points near a plane, for some clients and for none of them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

POINTS = 40


def write(directory: Path, clients: Iterable[str]) -> None:
    """A folder a client, and holdout/."""
    for number, name in enumerate([*clients, "holdout"]):
        rng = np.random.default_rng(number)
        inputs = rng.normal(size=(POINTS, 2))
        targets = inputs @ [2.0, -1.0] + 0.5 + rng.normal(scale=0.05, size=POINTS)
        (directory / name).mkdir(parents=True)
        rows = "".join(f"{a},{b},{y}\n" for (a, b), y in zip(inputs, targets, strict=True))
        (directory / name / "data.csv").write_text(f"a,b,y\n{rows}")
