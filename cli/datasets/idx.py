"""MNIST's IDX files, as Y. LeCun, C. Cortes, C. Burges describe them in "The MNIST database of handwritten digits"."""

import gzip
import re
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cli.datasets.dataset import Column, DatasetError, Rows, Source, UnknownColumnError, coded
from cli.datasets.splitting import ImpossibleSplitError, stratified

IMAGES: Final = "images-idx3-ubyte"
LABELS: Final = "labels-idx1-ubyte"
LABEL: Final = "label"
LOCAL_TEST_FRACTION = 0.1

_UNSIGNED_BYTES = 0x08
_FILE = re.compile(r"(?:.+-)?(train|t10k|test)-(images|labels)[-.]idx[1-4]-ubyte(?:\.gz)?")


class Images(NamedTuple):
    """Pictures and what they show. `images` is uint8 [n, rows, columns], `labels` is uint8 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def take(self, indices: NDArray[np.intp]) -> "Images":
        """Those at these indices, in their order."""
        return Images(self.images[indices], self.labels[indices])


class ImageSet:
    """Images as a data set: a client gets a tenth of its own for its local test, as the files of MNIST's test part."""

    label = LABEL
    columns = (LABEL,)
    notes = ()

    def __init__(self, path: Path, content: Images) -> None:
        self.path = path
        self._content = content

    def __len__(self) -> int:
        return len(self._content.labels)

    def column(self, name: str) -> Column:
        """The labels: there is nothing else."""
        if name != LABEL:
            raise UnknownColumnError(name)
        return coded(self._content.labels)

    def write(self, rows: Rows, directory: Path, *, held_out: bool) -> None:
        """Four IDX files. What is held out is to train on as well, for tasks that want both parts."""
        own = self._content.take(rows)
        if held_out:
            train = test = own
        elif len(rows) < 2:
            raise ImpossibleSplitError(
                f"client {directory.name} has a single example, and needs one to train and one to test: "
                "use fewer clients"
            )
        else:
            fraction = max(LOCAL_TEST_FRACTION, 1 / len(rows))
            tested = stratified(own.labels, fraction, np.random.default_rng(0))
            train, test = own.take(np.setdiff1d(np.arange(len(rows)), tested)), own.take(tested)
        write(directory, "train", train)
        write(directory, "t10k", test)


def is_idx(path: Path) -> bool:
    """Whether a file has such a name."""
    return _FILE.fullmatch(path.name) is not None


def open_folder(folder: Path, files: list[Path]) -> Source:
    """The set in these files, compressed or not; the test part, if it has one, is its holdout.

    Raises:
        DatasetError: a file is missing or damaged, or there are files of more than one set.
    """
    found: dict[tuple[str, str], Path] = {}
    for file in files:
        match = _FILE.fullmatch(file.name)
        if match is None:
            continue
        part = "train" if match[1] == "train" else "t10k"
        if (part, match[2]) in found:
            other = found[part, match[2]]
            raise DatasetError(f"{folder} has {other.name} and {file.name}: put each set into a folder of its own")
        found[part, match[2]] = file

    def part_of(part: str) -> ImageSet:
        for kind, name in (("images", IMAGES), ("labels", LABELS)):
            if (part, kind) not in found:
                raise _missing(folder, f"{part}-{name}")
        return ImageSet(folder, _read_pair(folder, found[part, "images"], found[part, "labels"]))

    tested = any(part == "t10k" for part, _ in found)
    return Source(folder, "idx", tuple(found.values()), part_of("train"), part_of("t10k") if tested else None)


def read(directory: Path, part: str) -> Images:
    """The pictures in `directory`/<part>-images-idx3-ubyte and <part>-labels-idx1-ubyte, each with or without .gz.

    Raises:
        DatasetError: the directory or a file is missing or damaged, or the two don't have the same number of examples.
    """
    return _read_pair(directory, _find(directory, f"{part}-{IMAGES}"), _find(directory, f"{part}-{LABELS}"))


def write(directory: Path, part: str, content: Images) -> None:
    """Writes what `read` reads, not compressed, as torchvision's reader needs it; `directory` is made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, array in ((IMAGES, content.images), (LABELS, content.labels)):
        header = struct.pack(f">HBB{array.ndim}I", 0, _UNSIGNED_BYTES, array.ndim, *array.shape)
        (directory / f"{part}-{name}").write_bytes(header + array.tobytes())


def _read_pair(folder: Path, images: Path, labels: Path) -> Images:
    content = Images(_read_idx(images, dimensions=3), _read_idx(labels, dimensions=1))
    if len(content.images) != len(content.labels):
        raise DatasetError(
            f"{folder}: {images.name} has {len(content.images)} examples, {labels.name} has {len(content.labels)}: "
            "they are not from the same set"
        )
    return content


def _find(directory: Path, name: str) -> Path:
    for path in (directory / name, directory / f"{name}.gz"):
        if path.is_file():
            return path
    raise _missing(directory, name)


def _missing(directory: Path, name: str) -> DatasetError:
    return DatasetError(f"{directory} has neither {name} nor {name}.gz: put the set's other files there")


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} cannot be read: {error}: get the file again") from error
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
        raise DatasetError(f"{path} is no IDX file of bytes in {dimensions} dimensions: get the file again")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    array = np.frombuffer(data, np.uint8, offset=start)
    if array.size != np.prod(shape, dtype=object):
        raise DatasetError(f"{path} says that it holds {list(shape)} bytes, but has {array.size}: get the file again")
    return array.reshape(shape)
