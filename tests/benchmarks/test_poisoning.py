"""benchmarks/poisoning.py: hostile clients spoil a mean, and no median."""

from collections.abc import Iterator

import pytest
import torch

from benchmarks.poisoning import ATTACKS, RULES, accuracy, all_shares


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the benchmark has it: several threads of as many processes wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_flipped_sign_spoils_a_mean_and_no_median() -> None:
    shares = all_shares()
    none, flipped = ATTACKS[:2]
    assert accuracy(RULES["mean"], flipped, shares, 2) < 0.2
    assert accuracy(RULES["median"], flipped, shares, 2) > accuracy(RULES["median"], none, shares, 2) - 0.15
