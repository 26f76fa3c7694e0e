"""Devices that there are not: how long a client takes, and whether it answers at all, in simulated time.

A file of devices has a line of JSON for each client, and one for "*", all others:

    {"client": "*", "examples_per_s": 500, "download_mbit_per_s": 20, "upload_mbit_per_s": 5}
    {"client": "device-003", "examples_per_s": 50, "availability": 0.8, "dropout": 0.1}
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from components.text import printable
from protocol.local_steps import ENDLESS, limits
from protocol.messages import Timings, Training

EVERYONE = "*"

Rate = Annotated[float, msgspec.Meta(gt=0)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]

_MBIT = 1_000_000 / 8


class DevicesError(ValueError):
    """A file of devices says something that it can't; the text names the line and the remedy."""


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client runs on. A rate that is not given takes no time.

    `availability` is the probability that it hears of a round that selects it, `dropout` that it fails while it trains.
    """

    client: str
    examples_per_s: Rate | None = None
    download_mbit_per_s: Rate | None = None
    upload_mbit_per_s: Rate | None = None
    availability: Probability = 1.0
    dropout: Probability = 0.0


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """How a client's part in a round goes: when it is where, and when its update arrives. It answers nothing if it
    has not heard of the round (`hears`), and reports a failure at `fails_at`, if it drops out."""

    hears: bool
    timings: Timings
    arrives_at: float
    fails_at: float | None = None


class Fleet:
    """The devices of a simulation's clients. `seed` makes the draws of who answers."""

    def __init__(self, devices: Mapping[str, Device] | None = None, seed: int = 0) -> None:
        self._devices = dict(devices or {})
        self._everyone = self._devices.get(EVERYONE, Device(client=EVERYONE))
        self._seed = seed

    def is_available(self, thing: str, round_number: int, look: int = 0) -> bool:
        """Whether a client is there when a round opens, or when it is looked for the `look`-th time before that."""
        device = self._devices.get(thing, self._everyone)
        return self._draws(thing, round_number, look).random() < device.availability

    def course(
        self,
        thing: str,
        round_number: int,
        now: float,
        *,
        look: int = 0,
        training: Training,
        examples: int,
        download_bytes: int,
        upload_bytes: int,
    ) -> Course:
        """The course of a client's part in a round that selects it now, which was looked for clients `look` times
        before it opened."""
        device = self._devices.get(thing, self._everyone)
        downloaded_at = now + _seconds(download_bytes, device.download_mbit_per_s, _MBIT)
        train_s = _seconds(trained_on(training, examples), device.examples_per_s)
        trained_at = downloaded_at + train_s
        draws = self._draws(thing, round_number, look)
        available, drops_out, share = draws.random(), draws.random(), draws.random()
        return Course(
            hears=available < device.availability,
            timings=Timings(
                accepted_at=now,
                downloaded_at=downloaded_at,
                trained_at=trained_at,
                uploading_at=trained_at,
                train_s=train_s,
            ),
            arrives_at=trained_at + _seconds(upload_bytes, device.upload_mbit_per_s, _MBIT),
            fails_at=downloaded_at + share * train_s if drops_out < device.dropout else None,
        )

    def _draws(self, thing: str, round_number: int, look: int) -> random.Random:
        again = f"/{look}" if look else ""
        return random.Random(f"{self._seed}/{round_number}/{thing}{again}")  # noqa: S311 - reproducible, not secret


def _seconds(amount: float, rate: float | None, unit: float = 1.0) -> float:
    return 0.0 if rate is None else amount / (rate * unit)


def trained_on(training: Training, examples: float) -> float:
    """How many examples local training sees of a client that has so many, each as often as it does."""
    epochs, steps = limits(training)
    of_epochs = float(epochs) * examples
    of_steps = float(steps) * min(training.batch_size, examples)
    if epochs == ENDLESS:
        return of_steps
    return min(of_epochs, of_steps) if steps else of_epochs


def read_devices(path: Path, clients: Mapping[str, object]) -> dict[str, Device]:
    """The devices that a file has for these clients.

    Raises:
        DevicesError: it can't be read, or a line is no device, or that of no client, or of one that was there before.
    """
    decoder = msgspec.json.Decoder(Device)
    found: dict[str, Device] = {}
    lines: dict[str, int] = {}
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DevicesError(f"{path} can't be read: {error.strerror}; it has a line of JSON a device") from error
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            device = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise _fault(path, number, f"{error}; a device has {', '.join(Device.__struct_fields__)}") from error
        if device.client != EVERYONE and device.client not in clients:
            known = ", ".join(list(clients)[:3])
            raise _fault(path, number, f'there is no client "{device.client}": there are {known}, ..., and "*" for all')
        if device.client in found:
            raise _fault(path, number, f'"{device.client}" is on line {lines[device.client]} already: keep one of them')
        found[device.client], lines[device.client] = device, number
    return found


def _fault(path: Path, line: int, text: str) -> DevicesError:
    return DevicesError(printable(f"{path}:{line}: {text}"))
