"""com.fedgrass.Inference: an example of what runs a published model on a device. Copy it, and change `predict`.

The model is a component of its own, so a new one is a deployment and no new code: its files lie in a directory of their
version beside this component's artifacts. This looks there now and then, and takes up the newest one that is whole.
Inputs are .npy files; the outputs get the same names.
"""

import argparse
import hashlib
import importlib
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

log = logging.getLogger("inference")

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?")
_NUMBERS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""What safetensors files call them: https://huggingface.co/docs/safetensors."""


class BrokenModelError(Exception):
    """A version of the model that can't be used; the one before goes on."""


def versions(directory: Path) -> Iterator[Path]:
    """The directories of the model's versions that are on this device, the newest first."""
    found = []
    for path in directory.iterdir() if directory.is_dir() else ():
        match = _VERSION.fullmatch(path.name)
        if match and (path / "model.json").is_file():
            found.append((tuple(map(int, match.groups()[:3])), match[4] is None, path.name, path))
    yield from (path for *_, path in sorted(found, reverse=True))


def _state(version: Path) -> tuple[int, ...]:
    stats = [path.stat() for path in sorted(version.iterdir())]
    return tuple(number for stat in stats for number in (stat.st_size, stat.st_mtime_ns))


def load(directory: Path, network: nn.Module) -> dict[str, Any]:
    """Puts a version of the model into the network, and gives what model.json says of it.

    Raises:
        BrokenModelError: see there.
    """
    try:
        about: dict[str, Any] = json.loads((directory / "model.json").read_bytes())
        data = bytearray((directory / "model.safetensors").read_bytes())
        if hashlib.sha256(data).hexdigest() != about["model"]["sha256"]:
            raise BrokenModelError(f"{directory}: model.safetensors is not what model.json says")
        network.load_state_dict(tensors(data))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BrokenModelError(f"{directory}: {type(error).__name__}: {error}") from error
    network.eval()
    return about


def tensors(data: bytearray) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file: the length of a header in JSON, the header, and the numbers."""
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(bytes(data[8:begin]))
    header.pop("__metadata__", None)
    found = {}
    for name, one in header.items():
        start, end = one["data_offsets"]
        dtype = _NUMBERS[one["dtype"]]
        flat = torch.frombuffer(data[begin + start : begin + end], dtype=dtype) if end > start else torch.empty(0)
        found[name] = flat.to(dtype).reshape(one["shape"])
    return found


def predict(network: nn.Module, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What the network says of a batch."""
    with torch.inference_mode():
        result: np.ndarray[Any, Any] = network(torch.from_numpy(inputs)).numpy()
    return result


class Inference:
    """Serves the newest model: `models` is where its versions lie; `inputs` and `outputs` are directories."""

    def __init__(self, network: nn.Module, models: Path, inputs: Path, outputs: Path) -> None:
        self._network, self._models, self._inputs, self._outputs = network, models, inputs, outputs
        self._refused: dict[Path, tuple[int, ...]] = {}
        self.current: Path | None = None

    def look_for_models(self) -> None:
        """Takes up the newest version that can be used, if it is another than now."""
        for version in versions(self._models):
            if version == self.current:
                return
            files = _state(version)  # one that is still being downloaded is tried again when it has grown
            if self._refused.get(version) == files:
                continue
            try:
                about = load(version, self._network)
            except BrokenModelError as error:
                self._refused[version] = files
                self.current = None  # the network may be half of the one and half of the other
                log.warning("not used: %s", error)
                continue
            self.current = version
            log.info("model %s: round %s of %s", version.name, about.get("round"), about.get("federation"))
            return

    def look_for_inputs(self) -> None:
        """Answers what has no answer yet."""
        if self.current is None:
            return
        for path in sorted(self._inputs.glob("*.npy")):
            output = self._outputs / path.name
            if output.exists():
                continue
            try:
                answer = predict(self._network, np.load(path, allow_pickle=False))
            except (OSError, ValueError, TypeError, RuntimeError) as error:
                log.warning("%s can't be answered: %s: %s", path.name, type(error).__name__, error)
                answer = np.empty(0)
            unfinished = output.with_suffix(".part")
            with unfinished.open("wb") as file:
                np.save(file, answer)
            unfinished.replace(output)
            log.info("%s is answered by model %s", path.name, self.current.name)


def network_of(task: Path) -> nn.Module:
    """What build_model() of the task makes: the network that was trained."""
    sys.path.insert(0, str(task))
    network: nn.Module = importlib.import_module("task").build_model()
    return network


def main(arguments: list[str]) -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(description="Answers .npy files in a directory with the newest model.")
    parser.add_argument("artifacts", type=Path, help="directory of this component's artifacts, with task.zip")
    parser.add_argument("--model", required=True, help="name of the component with the model")
    parser.add_argument("--inputs", type=Path, required=True, help="directory with the inputs")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="directory for the answers")
    parser.add_argument("--every-s", type=float, default=5.0, help="how often to look for models and inputs")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    given.outputs.mkdir(parents=True, exist_ok=True)
    artifacts = Path(os.path.realpath(given.artifacts))
    serving = Inference(
        network_of(artifacts / "task.zip"), artifacts.parent.parent / given.model, given.inputs, given.outputs
    )
    log.info("started")
    while True:
        serving.look_for_models()
        serving.look_for_inputs()
        time.sleep(given.every_s)


if __name__ == "__main__":
    main(sys.argv[1:])
