"""cli/split.py: what any split must keep, what each kind promises, and what is written for the devices."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchvision.datasets import mnist

from cli import digits, split
from cli.digits import Digits, Source
from cli.split import ImpossibleSplitError, InvalidSplitError, Labels, Shard, ShardsExistError, Split
from protocol.names import InvalidNameError

SEEDS = st.integers(0, 2**32 - 1)
LABELS = st.lists(st.integers(0, 9), min_size=1, max_size=300).map(lambda values: np.array(values, np.uint8))
BALANCED: Labels = np.repeat(np.arange(10, dtype=np.uint8), 400)
"""As the digits are: 4,000 examples, 10 labels."""


def check_partition(shards: list[Shard], labels: Labels, clients: int) -> None:
    """Every example is in exactly one shard, and no shard is empty."""
    assert len(shards) == clients
    assert min(map(len, shards)) >= 1
    assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(len(labels)))
    for shard in shards:
        assert np.array_equal(shard, np.sort(shard))


def same(one: list[Shard], other: list[Shard]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# --- every split ---


@given(LABELS, st.integers(1, 300), SEEDS)
@settings(deadline=None)
def test_iid_gives_each_example_to_one_client(labels: Labels, clients: int, seed: int) -> None:
    assume(clients <= len(labels))
    shards = split.iid(labels, clients, seed)
    check_partition(shards, labels, clients)
    assert np.ptp([len(shard) for shard in shards]) <= 1
    assert same(shards, split.iid(labels, clients, seed))


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


def skew(shards: list[Shard]) -> float:
    """Mean total variation distance of a client's mix of labels to that of all: 0 is none, 0.9 one label of 10."""
    everywhere = np.bincount(BALANCED, minlength=10) / len(BALANCED)
    mixes = [np.bincount(BALANCED[shard], minlength=10) / len(shard) for shard in shards]
    return float(np.mean([np.abs(mix - everywhere).sum() / 2 for mix in mixes]))


def test_dirichlet_is_the_more_skewed_the_smaller_alpha_is() -> None:
    assert skew(split.iid(BALANCED, 20, 0)) < 0.15
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
    ],
)
def test_a_text_that_names_no_split_is_refused(text: str) -> None:
    with pytest.raises(InvalidSplitError, match=re.escape(repr(text))):
        split.parse_split(text)


# --- what is written ---


@pytest.fixture(scope="module")
def source() -> Source:
    return digits.packaged()


def key(images: Digits) -> Counter[tuple[bytes, int]]:
    pairs = zip(images.images, images.labels, strict=True)
    return Counter((image.tobytes(), int(label)) for image, label in pairs)


@pytest.mark.parametrize("text", ["iid", "labels:2", "dirichlet:0.5"])
def test_written_shards_hold_every_digit_once_and_none_of_the_holdout(
    source: Source, tmp_path: Path, text: str
) -> None:
    clients = [f"device-{number}" for number in range(8)]
    shards = split.write_shards(source, tmp_path / "shards", clients, split.parse_split(text), seed=7)

    everything: Counter[tuple[bytes, int]] = Counter()
    for name in clients:
        train, test = (digits.read(shards.clients[name], part) for part in ("train", "t10k"))
        assert len(test.labels) == round((len(train.labels) + len(test.labels)) / 10)
        counts = Counter(train.labels.tolist()) + Counter(test.labels.tolist())
        assert dict(counts) == shards.counts[name]
        for label, count in counts.items():
            assert abs(int((test.labels == label).sum()) - count / 10) < 1
        everything += key(train) + key(test)
    assert everything == key(source.train)
    assert key(digits.read(shards.holdout, "t10k")) == key(source.holdout)
    assert sorted(shards.clients) == sorted(path.name for path in (tmp_path / "shards" / "clients").iterdir())


def test_the_same_seed_writes_the_same_bytes(source: Source, tmp_path: Path) -> None:
    written = []
    for directory in (tmp_path / "one", tmp_path / "two"):
        split.write_shards(source, directory, ["a", "b"], Split("dirichlet", 0.5), seed=3)
        written.append({file.relative_to(directory): file.read_bytes() for file in directory.rglob("*-ubyte")})
    assert len(written[0]) == 2 * 4 + 2
    assert written[0] == written[1]


def test_torchvision_reads_what_is_written(source: Source, tmp_path: Path) -> None:
    shards = split.write_shards(source, tmp_path / "shards", ["a", "b"], Split("iid"), seed=0)
    path = shards.clients["a"]
    images = mnist.read_image_file(str(path / "train-images-idx3-ubyte"))
    labels = mnist.read_label_file(str(path / "train-labels-idx1-ubyte"))
    expected = digits.read(path, "train")
    assert np.array_equal(images.numpy(), expected.images)
    assert np.array_equal(labels.numpy(), expected.labels)


@given(st.integers(2, 40), st.integers(1, 20), SEEDS)
@settings(max_examples=25, deadline=None)
def test_each_client_has_something_to_train_and_something_to_test(
    tmp_path_factory: pytest.TempPathFactory, examples: int, clients: int, seed: int
) -> None:
    assume(examples >= 2 * clients)
    labels = (np.arange(examples) % 10).astype(np.uint8)
    few = Digits(np.zeros((examples, 2, 2), np.uint8), labels)
    names = [f"device-{number}" for number in range(clients)]
    directory = tmp_path_factory.mktemp("shards") / "few"
    shards = split.write_shards(Source(few, few), directory, names, Split("iid"), seed)
    for path in shards.clients.values():
        assert len(digits.read(path, "train").labels) >= 1
        assert len(digits.read(path, "t10k").labels) >= 1


def test_a_client_with_a_single_example_is_refused(source: Source, tmp_path: Path) -> None:
    few = Source(source.train.take(np.arange(3)), source.holdout)
    with pytest.raises(ImpossibleSplitError, match="3 examples leave a client of 2 with a single one"):
        split.write_shards(few, tmp_path / "shards", ["a", "b"], Split("iid"), seed=0)
    assert not (tmp_path / "shards").exists()


def test_a_directory_in_use_is_left_alone(source: Source, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    for directory in (tmp_path, tmp_path / "mine"):
        with pytest.raises(ShardsExistError, match=re.escape(str(directory))):
            split.write_shards(source, directory, ["a"], Split("iid"), seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_names_that_cannot_be_things_or_are_said_twice_are_refused(source: Source, tmp_path: Path) -> None:
    with pytest.raises(InvalidNameError, match=re.escape("thing name '../a'")):
        split.write_shards(source, tmp_path / "shards", ["../a"], Split("iid"), seed=0)
    with pytest.raises(ImpossibleSplitError, match="twice"):
        split.write_shards(source, tmp_path / "shards", ["a", "a"], Split("iid"), seed=0)
