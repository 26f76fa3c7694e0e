"""Makes data/ of the 392 cars from 1970 to 1982 that the package mlxtend carries: those of each year are a client, and
a fifth of each year's cars are held out."""

import csv
import gzip
import importlib.metadata
import random
import sys
from pathlib import Path

DATA = Path(__file__).parent / "data"
COLUMNS = ("cylinders", "displacement", "horsepower", "weight", "acceleration", "year", "origin", "name", "mpg")
HELD_OUT = 0.2


def main() -> None:
    """Write data/clients/<name>/data.csv and data/holdout/data.csv."""
    if DATA.exists():
        sys.exit(f"{DATA} is there already: remove it to make it anew")
    package = importlib.metadata.distribution("mlxtend")
    with gzip.open(str(package.locate_file("mlxtend/data/data/autompg.csv.gz")), "rt") as file:
        cars = list(csv.reader(file))
    random.Random(0).shuffle(cars)
    held_out = []
    for year in sorted({car[5] for car in cars}):
        own = [car for car in cars if car[5] == year]
        kept = round(len(own) * HELD_OUT)
        held_out += own[:kept]
        write(f"clients/year-19{year}", own[kept:])
    write("holdout", held_out)


def write(folder: str, cars: list[list[str]]) -> None:
    """A table with a line of names."""
    (DATA / folder).mkdir(parents=True)
    with (DATA / folder / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *cars])


if __name__ == "__main__":
    main()
