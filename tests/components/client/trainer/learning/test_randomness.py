import random

import numpy as np
import pytest
import torch

from components.client.trainer.learning import randomness


def draw() -> list[float]:
    """Numbers of each generator, one pair of which is made at a time."""
    torchs, numpys = torch.randn(3).tolist(), np.random.normal(size=3).tolist()
    return [*torchs, *numpys, random.gauss(0, 1), random.random()]  # noqa: S311


def test_the_same_seed_gives_the_same_numbers_and_another_one_does_not() -> None:
    randomness.seed(3)
    first = draw()
    randomness.seed(3)
    assert draw() == first
    randomness.seed(4)
    assert not set(draw()) & set(first)


@pytest.mark.parametrize("drawn", [0, 1, 2])
def test_what_follows_a_restored_state_is_what_followed_it_before(drawn: int) -> None:
    randomness.seed(1 << 62)
    for _ in range(drawn):
        draw()
    states = randomness.capture()
    expected = draw()
    randomness.seed(0)
    randomness.restore(states)
    assert draw() == expected
