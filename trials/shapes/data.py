"""The folders of data that devices are given: real digits, whole or as a camera's folder has them."""

import functools
import os
from pathlib import Path

import numpy as np
from PIL import Image

from cli import digits
from cli.datasets import idx
from cli.digits import Digits

TRAIN, TEST, HELD_OUT = 240, 80, 400
"""How many digits a device trains on and tests on; and how many are held out from all."""


@functools.cache
def _source() -> Digits:
    return digits.packaged()


def write_digits(folder: Path, device: int) -> None:
    """MNIST's four IDX files, with digits of this device's own."""
    order = np.random.default_rng(0).permutation(len(_source().train.labels))
    mine = order[device * (TRAIN + TEST) : (device + 1) * (TRAIN + TEST)]
    idx.write(folder, "train", _source().train.take(mine[:TRAIN]))
    idx.write(folder, "t10k", _source().train.take(mine[TRAIN:]))


def write_photos(folder: Path, device: int) -> None:
    """A folder for each digit with a PNG file for each picture, on a card that has seen a lot: a link to what is gone,
    a link to the folder above, lost+found without rights, an empty and a half-written picture, names that are no text,
    a socket's file and a hidden index."""
    write_digits(folder / "raw", device)
    pictures = idx.read(folder / "raw", "train")
    for number, (image, label) in enumerate(zip(pictures.images, pictures.labels, strict=True)):
        path = folder / str(label) / f"IMG_{number:04d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    for name in ("train", "t10k"):
        for part in (idx.IMAGES, idx.LABELS):
            (folder / "raw" / f"{name}-{part}").unlink()
    (folder / "raw").rmdir()
    (folder / "latest.png").symlink_to(folder / "gone.png")
    (folder / "here").symlink_to(folder, target_is_directory=True)
    (folder / "lost+found").mkdir(mode=0)
    (folder / "3" / "IMG_EMPTY.png").touch()
    (folder / "3" / "IMG_TORN.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    Path(os.fsdecode(bytes(folder / "5") + b"/IMG_\xff\xfe.png")).write_bytes(b"no picture")
    os.mkfifo(folder / "camera.control")
    (folder / ".thumbnails.db").write_bytes(bytes(64))
