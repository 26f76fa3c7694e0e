"""simulation/devices.py: devices as a file describes them."""

from pathlib import Path

import pytest

from protocol.messages import Training
from simulation.devices import Course, Device, DevicesError, Fleet, read_devices

CLIENTS = {"c0": None, "c1": None}
TRAINING = Training(epochs=2, batch_size=10, learning_rate=0.1)


def course(fleet: Fleet, thing: str, training: Training = TRAINING, round_number: int = 1) -> Course:
    """A part in a round that began at second 10, with 45 examples and a model of a megabyte."""
    return fleet.course(
        thing, round_number, 10.0, training=training, examples=45, download_bytes=1_000_000, upload_bytes=500_000
    )


def test_a_course_takes_the_time_of_its_rates(tmp_path: Path) -> None:
    path = tmp_path / "devices.jsonl"
    path.write_text(
        '{"client": "*", "examples_per_s": 9}\n\n'
        '{"client": "c1", "examples_per_s": 30, "download_mbit_per_s": 8, "upload_mbit_per_s": 2}\n'
    )
    fleet = Fleet(read_devices(path, CLIENTS))
    slow = course(fleet, "c1")
    assert (slow.timings.downloaded_at, slow.timings.trained_at, slow.arrives_at) == (11.0, 14.0, 16.0)
    assert course(fleet, "c0").arrives_at == 20.0
    assert course(fleet, "c0", Training(steps=3, batch_size=9, learning_rate=0.1)).arrives_at == 13.0
    assert course(Fleet(), "c0").arrives_at == 10.0, "what is not known takes no time"


def test_who_answers_depends_on_the_seed_the_round_and_the_client_alone() -> None:
    devices = {"*": Device(client="*", availability=0.5, dropout=0.5)}

    def draws(seed: int) -> list[tuple[bool, float | None]]:
        fleet = Fleet(devices, seed)
        courses = [course(fleet, thing, round_number=number) for number in range(200) for thing in CLIENTS]
        return [(one.hears, one.fails_at) for one in courses]

    assert draws(1) == draws(1) != draws(2)
    assert 150 < sum(hears for hears, _ in draws(1)) < 250
    assert 150 < sum(fails is not None for _, fails in draws(1)) < 250


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"client": "c0"}\n{"client": "c2"}', r':2: there is no client "c2": there are c0, c1, \.\.\.'),
        ('{"client": "c0"}\n\n{"client": "c0"}', r':3: "c0" is on line 1 already'),
        ('{"client": "c0", "speed": 3}', r":1: .*`speed`; a device has client, examples_per_s, "),
        ('{"client": "c0", "dropout": 1.5}', r":1: Expected `float` <= 1\.0 - at `\$\.dropout`"),
        ('{"client": "c0", "examples_per_s": 0}', r":1: Expected `float` > 0\.0 - at `\$\.examples_per_s`"),
        ("c0,3", ":1: JSON is malformed"),
        ("\ufeff{}", ":1: JSON is malformed"),
        ('{"examples_per_s": 3}', ":1: Object missing required field `client`"),
    ],
)
def test_a_line_that_is_no_device_is_told_with_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "devices.jsonl"
    path.write_text(text)
    with pytest.raises(DevicesError, match=told):
        read_devices(path, CLIENTS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DevicesError, match=r"none\.jsonl can't be read: No such file"):
        read_devices(tmp_path / "none.jsonl", CLIENTS)
