"""cli/datasets/splitting.py: what any split must keep, and what each kind promises."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cli.datasets import splitting as split
from cli.datasets.dataset import Rows
from cli.datasets.splitting import ImpossibleSplitError, InvalidSplitError, Labels, Split

SEEDS = st.integers(0, 2**32 - 1)
LABELS = st.lists(st.integers(0, 9), min_size=1, max_size=300).map(lambda values: np.array(values, np.uint8))
BALANCED: Labels = np.repeat(np.arange(10, dtype=np.uint8), 400)
"""As the digits are: 4,000 examples, 10 labels."""


def check_partition(shards: list[Rows], labels: Labels, clients: int) -> None:
    """Every example is in exactly one shard, and no shard is empty."""
    assert len(shards) == clients
    assert min(map(len, shards)) >= 1
    assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(len(labels)))
    for shard in shards:
        assert np.array_equal(shard, np.sort(shard))


def same(one: list[Rows], other: list[Rows]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# --- every split ---


@given(LABELS, st.integers(1, 300), SEEDS)
@settings(deadline=None)
def test_iid_gives_each_example_to_one_client(labels: Labels, clients: int, seed: int) -> None:
    assume(clients <= len(labels))
    shards = split.iid(len(labels), clients, seed)
    check_partition(shards, labels, clients)
    assert np.ptp([len(shard) for shard in shards]) <= 1
    assert same(shards, split.iid(len(labels), clients, seed))


@given(LABELS, st.integers(1, 60), st.integers(1, 10), SEEDS)
@settings(deadline=None)
def test_by_labels_gives_each_example_to_one_client_and_each_client_its_number_of_labels(
    labels: Labels, clients: int, labels_per_client: int, seed: int
) -> None:
    try:
        shards = split.by_labels(labels, clients, labels_per_client, seed)
    except ImpossibleSplitError:
        counts = np.bincount(labels)
        counts = counts[counts > 0]
        places = clients * labels_per_client
        assert (
            clients > len(labels)
            or labels_per_client > len(counts)
            or places < len(counts)
            or counts.min() < -(-places // len(counts))
        )
        return
    check_partition(shards, labels, clients)
    assert {len(np.unique(labels[shard])) for shard in shards} == {labels_per_client}
    holders = Counter(label for shard in shards for label in np.unique(labels[shard]).tolist())
    assert max(holders.values()) - min(holders.values()) <= 1
    assert same(shards, split.by_labels(labels, clients, labels_per_client, seed))


@given(LABELS, st.integers(1, 300), st.floats(0, 1e300, exclude_min=True), SEEDS)
@settings(deadline=None)
def test_dirichlet_gives_each_example_to_one_client(labels: Labels, clients: int, alpha: float, seed: int) -> None:
    assume(clients <= len(labels))
    shards = split.dirichlet(labels, clients, alpha, seed)
    check_partition(shards, labels, clients)
    assert np.ptp([len(shard) for shard in shards]) <= 1
    assert same(shards, split.dirichlet(labels, clients, alpha, seed))


@pytest.mark.parametrize("text", ["iid", "labels:2", "dirichlet:0.5"])
def test_another_seed_makes_another_split(text: str) -> None:
    kind = split.parse_split(text)
    assert not same(kind.apply(BALANCED, 8, 1), kind.apply(BALANCED, 8, 2))


@pytest.mark.parametrize("text", ["iid", "labels:1", "dirichlet:0.5"])
def test_more_clients_than_examples_are_refused(text: str) -> None:
    labels = np.arange(3, dtype=np.uint8)
    with pytest.raises(ImpossibleSplitError, match="4 clients are more than the 3 examples"):
        split.parse_split(text).apply(labels, 4, 0)
    with pytest.raises(ImpossibleSplitError, match="0 clients: use at least one"):
        split.parse_split(text).apply(labels, 0, 0)


# --- each kind ---


def skew(shards: list[Rows]) -> float:
    """Mean total variation distance of a client's mix of labels to that of all: 0 is none, 0.9 one label of 10."""
    everywhere = np.bincount(BALANCED, minlength=10) / len(BALANCED)
    mixes = [np.bincount(BALANCED[shard], minlength=10) / len(shard) for shard in shards]
    return float(np.mean([np.abs(mix - everywhere).sum() / 2 for mix in mixes]))


def test_dirichlet_is_the_more_skewed_the_smaller_alpha_is() -> None:
    assert skew(split.iid(len(BALANCED), 20, 0)) < 0.15
    steps = [skew(split.dirichlet(BALANCED, 20, alpha, 0)) for alpha in (1000.0, 10.0, 1.0, 0.01)]
    assert steps == sorted(steps)
    assert steps[0] < 0.15
    assert steps[-1] > 0.7


@pytest.mark.parametrize("alpha", [0.1, 0.5, 2.0])
def test_a_client_s_mix_of_labels_varies_as_dirichlet_s_distribution_does(alpha: float) -> None:
    shards = [split.dirichlet(BALANCED, 100, alpha, seed)[0] for seed in range(200)]
    mixes = np.array([np.bincount(BALANCED[shard], minlength=10) / len(shard) for shard in shards])
    of_mix = 0.1 * 0.9 / (10 * alpha + 1)
    of_draw = (0.1 * 0.9 - of_mix) / len(shards[0])  # a shard is a finite draw from its mix
    assert mixes.var(axis=0).mean() == pytest.approx(of_mix + of_draw, rel=0.15)


def test_by_labels_mixes_labels_at_random_and_divides_each_evenly() -> None:
    shards = split.by_labels(BALANCED, 40, 2, 0)
    assert {len(shard) for shard in shards} == {100}
    pairs = {tuple(np.unique(BALANCED[shard]).tolist()) for shard in shards}
    assert len(pairs) > 15  # of the 45 there are; runs of the sorted examples would make 5


@pytest.mark.parametrize(
    ("clients", "labels_per_client", "message"),
    [
        (8, 11, "11 labels a client: the examples have 10, so use 1 to 10"),
        (8, 0, "0 labels a client"),
        (4, 2, "4 clients with 2 labels each cannot hold all 10 labels: use 5 clients or more"),
        (4000, 10, "label 0 has 400 examples for 4000 clients that should hold it"),
    ],
)
def test_by_labels_says_why_it_cannot(clients: int, labels_per_client: int, message: str) -> None:
    with pytest.raises(ImpossibleSplitError, match=re.escape(message)):
        split.by_labels(BALANCED, clients, labels_per_client, 0)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_dirichlet_refuses_an_alpha_that_is_not_positive(alpha: float) -> None:
    with pytest.raises(ImpossibleSplitError, match="alpha"):
        split.dirichlet(BALANCED, 8, alpha, 0)


def test_a_split_is_named_by_a_text() -> None:
    assert split.parse_split("iid") == Split("iid")
    assert split.parse_split("labels:2") == Split("labels", 2)
    assert split.parse_split("dirichlet:0.5") == Split("dirichlet", 0.5)
    assert split.parse_split("by:user: name") == Split("by", column="user: name")


@pytest.mark.parametrize("text", ["iid", "labels:2", "dirichlet:0.5", "by:user"])
def test_a_split_tells_the_text_that_names_it(text: str) -> None:
    assert str(split.parse_split(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "even",
        "iid:",
        "iid:2",
        "labels",
        "labels:",
        "labels:0",
        "labels:1.5",
        "dirichlet:0",
        "dirichlet:nan",
        "dirichlet:x",
        "by",
        "by:",
    ],
)
def test_a_text_that_names_no_split_is_refused(text: str) -> None:
    with pytest.raises(InvalidSplitError, match=re.escape(repr(text))):
        split.parse_split(text)


# --- a part with each label's share ---


def test_a_stratified_part_has_each_label_s_share() -> None:
    labels = np.repeat(np.arange(3, dtype=np.uint8), [100, 50, 10])
    part = split.stratified(labels, 0.25, np.random.default_rng(0))
    assert len(part) == len(set(part.tolist())) == 40
    assert np.all(np.abs(np.bincount(labels[part]) - np.array([25, 12.5, 2.5])) < 1)


def test_a_part_of_labels_that_are_there_once_each_favours_none_of_them() -> None:
    labels = np.arange(100)
    parts = [split.stratified(labels, 0.2, np.random.default_rng(seed)) for seed in range(200)]
    assert {len(part) for part in parts} == {20}
    assert np.mean(parts) == pytest.approx(49.5, abs=2)
