"""This device's data: loaded once, looked at before it is trained on, and loaded again when its files have changed."""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from torch import nn

from components.client.reasons import shorten
from components.client.trainer.learning import fingerprint, randomness
from components.client.trainer.learning.batches import Share, is_iterable
from components.client.trainer.task.loading import Task, TaskError
from fedgrass.task import Client, Data

log = logging.getLogger(__name__)

_SHOWN = 3


class DataError(Exception):
    """There is no data that this device could train on: the round is declined."""


class LocalData:
    """The data in `directory`, which is only read. `loaded` is called with the number of training examples.

    If the task gives no test set, `held_out` is the share of the examples that is kept from training for evaluation.
    """

    def __init__(
        self, task: Task, directory: Path, client: Client, held_out: float, loaded: Callable[[int], None]
    ) -> None:
        self._task = task
        self._directory = directory
        self._client = client
        self._held_out = held_out
        self._loaded = loaded
        self._data: Data | None = None
        self._fingerprint = self._loaded_as = ""
        self._unread: tuple[str, ...] = ()

    def get(self, build_model: Callable[[], nn.Module]) -> Data:
        """The data, checked against a model, which is built if the data has to be loaded.

        Raises:
            DataError: the directory is missing, or the task finds no usable data there; the text says why.
            TaskError: the task gives something that is no data.
        """
        fingerprint = self._look()
        if self._data is None or fingerprint != self._fingerprint:
            if self._data is not None:
                log.info("the dataset has changed: loading it again")
            self._data = None
            model = build_model()
            try:
                data = hold_out(self._task.load_data(self._directory, self._client), self._held_out, self._client)
                self._task.validate(model, data)
            except TaskError as error:
                if error.__cause__ is None:
                    raise  # no fault of the data: a function of the task returned something else
                raise DataError(f"dataset {self._directory}: {error}") from error
            self._data, self._fingerprint, self._loaded_as = data, fingerprint, self._look()
            self._loaded(data.examples)
        return self._data

    def change(self) -> str | None:
        """What has happened to the files since they were loaded, if they were. What load_data() itself has written
        there is no change."""
        if self._data is None:
            return None
        try:
            is_same = self._look() == self._loaded_as
        except DataError as error:
            return str(error)
        return None if is_same else f"dataset {self._directory} has changed while the round was under way"

    def _look(self) -> str:
        try:
            seen = fingerprint.of(self._directory)
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(
                f"dataset {self._directory} is not a directory: set `dataset` in the configuration"
            ) from None
        except OSError as error:
            raise DataError(f"dataset {self._directory} cannot be read: {error}") from error
        if seen.unread != self._unread:
            self._unread = seen.unread
            if seen.unread:
                log.warning("parts of the dataset cannot be looked at", extra={"reason": shorten(_listed(seen.unread))})
        return seen.digest


def _listed(unread: tuple[str, ...]) -> str:
    shown = "; ".join(unread[:_SHOWN])
    return shown if len(unread) <= _SHOWN else f"{shown}; and {len(unread) - _SHOWN} more"


def hold_out(data: Data, share: float, client: Client) -> Data:
    """The data with this share of its examples, at least one, as a test set, if it has none: always the same ones for
    the same client, federation and number of examples.

    Raises:
        DataError: the examples have no index.
    """
    count = max(1, round(data.examples * share))
    if share == 0 or data.has_test or count >= data.examples:
        return data
    if is_iterable(data.train):
        raise DataError(
            f"held_out is {share:g}, but the training set is an IterableDataset, of which no share can be taken: "
            "have load_data() give a test set, or set held_out to 0"
        )
    seed = randomness.seed_of(f"held out {client.federation} {client.thing}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(data.examples, generator=generator)
    test, train = order[:count].sort().values.tolist(), order[count:].sort().values.tolist()
    return msgspec.structs.replace(data, train=Share(data.train, train), test=Share(data.train, test))
