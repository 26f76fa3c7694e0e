"""Makes data/ to begin with: points on a plane, those in a circle and those around it. Remove this file when you have
data of your own: `fedgrass split SOURCE data` makes data/ of a table, arrays or pictures."""

import sys
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"


def main(clients: int = 8) -> None:
    """Write data/clients/<name>/data.npz and data/holdout/data.npz."""
    if DATA.exists():
        sys.exit(f"{DATA} is there already: remove it to make it anew")
    for number in range(clients):
        write(f"clients/device-{number:03d}", 100, seed=number + 1)
    write("holdout", 400, seed=0)


def write(folder: str, count: int, seed: int) -> None:
    """So many points and their labels."""
    (DATA / folder).mkdir(parents=True)
    inputs = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    np.savez(DATA / folder / "data.npz", inputs=inputs, labels=(np.hypot(*inputs.T) < 1.2).astype(np.int64))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
