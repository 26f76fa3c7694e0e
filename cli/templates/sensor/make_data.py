"""Makes data/ of the recordings of 10 people's watches that the package seglearn carries: each person is a client, and
the last fifth of each recording is held out. They are described in https://arxiv.org/abs/1802.01489."""

import importlib.metadata
import pickletools
import sys
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent / "data"
STEPS = 100  # of a piece: two seconds at 50 Hz
HELD_OUT = 0.2


def main() -> None:
    """Write data/clients/<name>/data.npz and data/holdout/data.npz."""
    if DATA.exists():
        sys.exit(f"{DATA} is there already: remove it to make it anew")
    recordings, exercises, people = read()
    held_out: list[tuple[Any, int]] = []
    for person in sorted(set(people)):
        own: list[tuple[Any, int]] = []
        for recording, exercise, who in zip(recordings, exercises, people, strict=True):
            if who == person:
                count = recording.shape[1] // STEPS
                pieces = [(piece, exercise) for piece in np.split(recording[:, : count * STEPS], count, axis=1)]
                kept = round(count * HELD_OUT)
                own += pieces[:-kept]
                held_out += pieces[-kept:]
        write(f"clients/person-{person:02d}", own)
    write("holdout", held_out)


def read() -> tuple[list[Any], list[int], list[int]]:
    """Recordings [6, steps], and of each the exercise and the person. The file is a pickle, which could run code if it
    was loaded: only the long texts in it are looked at, which are the bytes of its arrays, one after the other."""
    package = importlib.metadata.distribution("seglearn")
    with Path(str(package.locate_file("seglearn/data/watch_dataset.npy"))).open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        long = [text for _, text, _ in pickletools.genops(file) if isinstance(text, str) and len(text) > 1000]
    *recordings, exercises, people, _ = (text.encode("latin-1") for text in long)
    return (
        [np.frombuffer(recording, "<f8").astype(np.float32).reshape(6, -1) for recording in recordings],
        np.frombuffer(exercises, "<i8").tolist(),
        np.frombuffer(people, "<i8").tolist(),
    )


def write(folder: str, examples: list[tuple[Any, int]]) -> None:
    """The pieces [n, 6, steps] and their labels."""
    (DATA / folder).mkdir(parents=True)
    pieces, labels = zip(*examples, strict=True)
    np.savez(DATA / folder / "data.npz", pieces=np.stack(pieces), labels=np.array(labels))


if __name__ == "__main__":
    main()
