"""cli/datasets/idx.py: MNIST's files, read and written, and what is said of files that are not right."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from cli.datasets import idx
from cli.datasets.dataset import DatasetError, Source
from cli.datasets.idx import Images
from cli.datasets.opening import open_source


def opened(directory: Path) -> Source:
    source = open_source(directory)
    assert source.kind == "idx"
    return source


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small set in the layout of full MNIST: 30 to train, 10 held out."""
    generator = np.random.default_rng(0)
    for part, size in (("train", 30), ("t10k", 10)):
        images = generator.integers(0, 256, (size, 28, 28)).astype(np.uint8)
        idx.write(tmp_path / "mnist", part, Images(images, (np.arange(size) % 10).astype(np.uint8)))
    return tmp_path / "mnist"


@pytest.mark.parametrize("compressed", [False, True])
def test_the_full_set_is_read_from_its_files_compressed_or_not(directory: Path, compressed: bool) -> None:
    expected = opened(directory)
    if compressed:
        for file in list(directory.iterdir()):
            (directory / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
    source = opened(directory)
    for place, each in (("expected", expected), ("source", source)):
        each.examples.write(np.arange(30), directory.parent / place, held_out=True)
    written = [idx.read(directory.parent / place, "train") for place in ("expected", "source")]
    assert np.array_equal(written[0].images, written[1].images)
    assert written[1].labels.tolist() == [number % 10 for number in range(30)]
    assert source.holdout is not None
    assert len(source.holdout) == 10


def test_a_missing_file_is_named(directory: Path) -> None:
    (directory / "t10k-labels-idx1-ubyte").unlink()
    message = f"{directory} has neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"
    with pytest.raises(DatasetError, match=re.escape(message)):
        opened(directory)


@pytest.mark.parametrize("keep", [0, 3, 15, 16, 1000])
def test_a_file_that_is_cut_short_is_named(directory: Path, keep: int) -> None:
    path = directory / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=re.escape(str(path))):
        opened(directory)


def test_a_file_that_is_too_long_is_named(directory: Path) -> None:
    path = directory / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DatasetError, match=re.escape(f"{path} says that it holds [30, 28, 28] bytes, but has 23521")):
        opened(directory)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"\0" * 1000, mtime=0)[:-9]])
def test_a_damaged_compressed_file_is_named(directory: Path, content: bytes) -> None:
    (directory / "train-labels-idx1-ubyte").unlink()
    path = directory / "train-labels-idx1-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=re.escape(f"{path} cannot be read")):
        opened(directory)


def test_labels_in_the_place_of_images_are_refused(directory: Path) -> None:
    path = directory / "train-images-idx3-ubyte"
    path.write_bytes((directory / "train-labels-idx1-ubyte").read_bytes())
    with pytest.raises(DatasetError, match=re.escape(f"{path} is no IDX file of bytes in 3 dimensions")):
        opened(directory)


def test_images_and_labels_of_different_sets_are_refused(directory: Path) -> None:
    (directory / "train-labels-idx1-ubyte").write_bytes((directory / "t10k-labels-idx1-ubyte").read_bytes())
    with pytest.raises(DatasetError, match="has 30 examples, train-labels-idx1-ubyte has 10"):
        opened(directory)


@pytest.mark.parametrize(
    "name",
    ["train-images.idx3-ubyte", "emnist-letters-train-images-idx3-ubyte", "raw/train-images-idx3-ubyte"],
)
def test_the_names_that_such_files_have_elsewhere_are_known(directory: Path, name: str) -> None:
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / "train-images-idx3-ubyte").rename(directory / name)
    assert len(opened(directory).examples) == 30


def test_files_of_two_sets_in_one_folder_are_refused(directory: Path) -> None:
    for part in ("images-idx3", "labels-idx1"):
        content = (directory / f"t10k-{part}-ubyte").read_bytes()
        (directory / f"emnist-letters-test-{part}-ubyte").write_bytes(content)
    with pytest.raises(DatasetError, match="put each set into a folder of its own"):
        opened(directory)


def test_a_set_without_a_test_part_is_split_as_others_are(directory: Path) -> None:
    for part in ("images-idx3", "labels-idx1"):
        (directory / f"t10k-{part}-ubyte").unlink()
    assert opened(directory).holdout is None
