"""The random number generators that training may draw from: seeded together, saved and restored together."""

import hashlib
import random
from typing import Any

import numpy as np
import torch

from protocol.tensors import Array


def seed(value: int) -> None:
    """Makes what torch, numpy's legacy functions and Python's `random` give from here on depend on `value` alone, and
    has a GPU compute the same bits each time where it can."""
    torch.default_generator.manual_seed(value)  # torch.manual_seed() notes each call, with its trace, for absent GPUs
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(value)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
    np.random.seed(value % 2**32)
    random.seed(value)


def seed_of(text: str) -> int:
    """A seed of 63 bits: the same for the same text, another for another."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def capture() -> dict[str, Array]:
    """Their states, as arrays."""
    numpys = np.random.get_state(legacy=False)
    assert isinstance(numpys, dict)  # noqa: S101 - this is what `legacy=False` means
    inner = numpys["state"]
    version, internal, gauss_next = random.getstate()
    states: dict[str, Array] = {
        "torch": torch.get_rng_state().numpy(),
        "numpy": np.array([*inner["key"], inner["pos"], numpys["has_gauss"], _bits(numpys["gauss"])], "<i8"),
        "python": np.array([*internal, version, gauss_next is not None, _bits(gauss_next or 0.0)], "<i8"),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state().cpu().numpy()
    return states


def restore(states: dict[str, Array]) -> None:
    """Puts them back into the states that `capture` gave.

    Raises:
        KeyError, ValueError, RuntimeError: these are not such states.
    """
    torch.set_rng_state(torch.from_numpy(states["torch"].copy()))
    numpys = states["numpy"]
    np.random.set_state(("MT19937", numpys[:-3].astype("<u4"), int(numpys[-3]), int(numpys[-2]), _number(numpys[-1])))
    pythons = states["python"]
    internal, (version, has_next, gauss_next) = tuple(map(int, pythons[:-3])), pythons[-3:]
    random.setstate((int(version), internal, _number(gauss_next) if has_next else None))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.from_numpy(states["cuda"].copy()))


def _bits(value: float) -> int:
    return int(np.float64(value).view("<i8"))


def _number(bits: Any) -> float:
    return float(np.int64(bits).view("<f8"))
