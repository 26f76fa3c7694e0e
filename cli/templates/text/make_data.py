"""Makes data/ of the sentences in which the package botocore describes six services of AWS: 16 clients, each of which
knows much of some services and little of others, and a fifth of all sentences that no client has."""

import csv
import gzip
import importlib.metadata
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
SERVICES = ("dynamodb", "iam", "iot", "kms", "lambda", "logs")
OF_EACH = 800
HELD_OUT = 100


def main(clients: int = 16) -> None:
    """Write data/clients/<name>/data.csv and data/holdout/data.csv."""
    if DATA.exists():
        sys.exit(f"{DATA} is there already: remove it to make it anew")
    chance = random.Random(0)
    rows: list[list[tuple[str, str]]] = [[] for _ in range(clients)]
    held_out = []
    for service in SERVICES:
        found = sorted(set(sentences(service)))
        chance.shuffle(found)
        held_out += [(text, service) for text in found[:HELD_OUT]]
        shares = [chance.gammavariate(1, 1) for _ in range(clients)]  # a draw from Dirichlet(1)
        for text in found[HELD_OUT : HELD_OUT + OF_EACH]:
            chance.choices(rows, shares)[0].append((text, service))
    for number, own in enumerate(rows):
        chance.shuffle(own)
        write(f"clients/device-{number:03d}", own)
    write("holdout", held_out)


def sentences(service: str) -> Iterator[str]:
    """Those of six words and more in what botocore says of a service."""
    folder = Path(str(importlib.metadata.distribution("botocore").locate_file(f"botocore/data/{service}")))
    for file in sorted(folder.glob("*/service-2.json.gz")):
        for text in texts(json.loads(gzip.decompress(file.read_bytes()))):
            for sentence in re.split(r"(?<=[.!?])\s+", re.sub(r"<[^>]+>", " ", text)):
                if len(words := sentence.split()) >= 6:
                    yield " ".join(words)


def texts(value: Any) -> Iterator[str]:
    """All that stands under "documentation", however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "documentation" and isinstance(inner, str):
                yield inner
            else:
                yield from texts(inner)


def write(folder: str, rows: list[tuple[str, str]]) -> None:
    """A table with a line of names."""
    (DATA / folder).mkdir(parents=True)
    with (DATA / folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
