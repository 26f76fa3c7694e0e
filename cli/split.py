"""Shares a set of labelled examples out among clients: evenly, by labels, or by Dirichlet's distribution.

Every split gives each example to exactly one client and each client at least one example, and is the same whenever the
seed is the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cli import digits
from cli.digits import Digits, Source
from cli.plurals import counted
from protocol import names

LOCAL_TEST_FRACTION = 0.1

Labels = NDArray[np.uint8]
Shard = NDArray[np.intp]
"""The indices of one client's examples, sorted."""


class InvalidSplitError(ValueError):
    """A text that names no split."""


class ImpossibleSplitError(ValueError):
    """These examples cannot be shared out among so many clients in this way."""


class ShardsExistError(ValueError):
    """The directory for the shards is already in use."""


class Split(NamedTuple):
    """How to share out: iid has no parameter, labels has a number of labels a client, dirichlet has alpha."""

    kind: Literal["iid", "labels", "dirichlet"]
    parameter: float = 0.0

    def apply(self, labels: Labels, clients: int, seed: int) -> list[Shard]:
        """The shards that this split makes; see the function of its kind."""
        if self.kind == "labels":
            return by_labels(labels, clients, int(self.parameter), seed)
        if self.kind == "dirichlet":
            return dirichlet(labels, clients, self.parameter, seed)
        return iid(labels, clients, seed)


class Shards(NamedTuple):
    """What `write_shards` wrote: each client's directory, the directory that no client gets, and how many examples of
    each label each client has (its local test part included)."""

    clients: dict[str, Path]
    holdout: Path
    counts: dict[str, dict[int, int]]


def parse_split(text: str) -> Split:
    """The split that "iid", "labels:2" or "dirichlet:0.5" names.

    Raises:
        InvalidSplitError: it names none.
    """
    kind, colon, parameter = text.partition(":")
    try:
        if kind == "iid" and not colon:
            return Split("iid")
        if kind == "labels" and int(parameter) >= 1:
            return Split("labels", int(parameter))
        if kind == "dirichlet" and 0 < float(parameter) < np.inf:
            return Split("dirichlet", float(parameter))
    except ValueError:
        pass  # no number: the message below says what is
    raise InvalidSplitError(
        f"split {text!r}: use iid, labels:<labels a client, from 1> or dirichlet:<alpha, above 0>, "
        "such as labels:2 or dirichlet:0.5"
    )


def iid(labels: Labels, clients: int, seed: int) -> list[Shard]:
    """Shards of equal size, give or take one example, drawn at random.

    Raises:
        ImpossibleSplitError: more clients than examples, or no client.
    """
    _check_clients(labels, clients)
    order = np.random.default_rng(seed).permutation(len(labels))
    return [np.sort(shard) for shard in np.array_split(order, clients)]


def by_labels(labels: Labels, clients: int, labels_per_client: int, seed: int) -> list[Shard]:
    """Shards with examples of exactly `labels_per_client` labels each; each label's examples are divided evenly among
    the clients that hold it, and every label has as many clients as any other, give or take one.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (AISTATS 2017), section
    3, give each client two runs of the examples sorted by label; here labels themselves are dealt, so that no client
    has fewer than asked for.

    Raises:
        ImpossibleSplitError: more clients than examples, more labels a client than there are, too few clients to hold
            all labels, or a label with fewer examples than clients to hold it.
    """
    _check_clients(labels, clients)
    values, counts = np.unique(labels, return_counts=True)
    if not 1 <= labels_per_client <= len(values):
        raise ImpossibleSplitError(
            f"{labels_per_client} labels a client: the examples have {len(values)}, so use 1 to {len(values)}"
        )
    if clients * labels_per_client < len(values):
        raise ImpossibleSplitError(
            f"{counted(clients, 'client')} with {counted(labels_per_client, 'label')} each cannot hold all "
            f"{len(values)} labels: use {-(-len(values) // labels_per_client)} clients or more"
        )
    generator = np.random.default_rng(seed)
    holders = _deal(len(values), clients, labels_per_client, generator)
    parts: list[list[Shard]] = [[] for _ in range(clients)]
    for value, count, held_by in zip(values, counts, holders, strict=True):
        if count < len(held_by):
            raise ImpossibleSplitError(
                f"label {value} has {count} examples for {len(held_by)} clients that should hold it: use fewer clients"
            )
        order = generator.permutation(np.flatnonzero(labels == value))
        for client, part in zip(held_by, np.array_split(order, len(held_by)), strict=True):
            parts[client].append(part)
    return [np.sort(np.concatenate(part)) for part in parts]


def dirichlet(labels: Labels, clients: int, alpha: float, seed: int) -> list[Shard]:
    """Shards of equal size, give or take one example, each with a mix of labels drawn from Dirichlet(alpha): like that
    of all examples as alpha grows, almost of one label as it goes to 0.

    Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification"
    (2019), section 3.1, draw from Dir(a * p), where p has each label's share of all examples. Here a is alpha times the
    number of labels, so that equally frequent labels have alpha each, which is how most of the field states it.
    Examples are drawn without replacement: once a label is used up, its share goes to the others, and the last clients
    are less of a free draw than the first.

    Raises:
        ImpossibleSplitError: more clients than examples, or alpha is not a positive number.
    """
    _check_clients(labels, clients)
    if not 0 < alpha < np.inf:
        raise ImpossibleSplitError(f"alpha {alpha}: use a number above 0")
    generator = np.random.default_rng(seed)
    values, counts = np.unique(labels, return_counts=True)
    pools = [generator.permutation(np.flatnonzero(labels == value)) for value in values]
    concentration = np.maximum(alpha * (counts / counts.mean()), np.finfo(float).tiny)
    left = counts.astype(np.intp)
    shards = []
    for sizes in np.array_split(np.arange(len(labels)), clients):
        mix = np.nan_to_num(generator.dirichlet(concentration))
        taken = _draw(mix, left, len(sizes), generator)
        parts = [pool[rest - take : rest] for pool, rest, take in zip(pools, left, taken, strict=True)]
        shards.append(np.sort(np.concatenate(parts)))
        left -= taken
    return shards


def write_shards(source: Source, directory: Path, clients: Sequence[str], split: Split, seed: int) -> Shards:
    """Shares `source.train` out among the named clients and writes IDX files: `directory`/clients/<name> gets the
    client's train- files, and t10k- files with a stratified tenth of its examples for its local test;
    `directory`/holdout gets `source.holdout` as t10k- files.

    Raises:
        ShardsExistError: the directory holds something already.
        ImpossibleSplitError: as `split.apply`, or a client is named twice, or would have fewer than two examples.
        protocol.names.InvalidNameError: a client's name could not be a thing's.
    """
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise ShardsExistError(f"{directory} is there already, and not empty: name another directory, or remove it")
    if len({names.check_thing(client) for client in clients}) < len(clients):
        raise ImpossibleSplitError("a client is named twice")
    shards = split.apply(source.train.labels, len(clients), seed)
    if min(map(len, shards)) < 2:
        raise ImpossibleSplitError(
            f"{len(source.train.labels)} examples leave a client of {len(clients)} with a single one, "
            "and it needs one to train and one to test: use fewer clients"
        )
    written = Shards({}, directory / "holdout", {})
    digits.write(written.holdout, "t10k", source.holdout)
    for number, (client, shard) in enumerate(zip(clients, shards, strict=True)):
        own = source.train.take(shard)
        train, test = _with_local_test(own, np.random.default_rng([seed, number]))
        path = directory / "clients" / client
        digits.write(path, "train", train)
        digits.write(path, "t10k", test)
        written.clients[client] = path
        values, counts = np.unique(own.labels, return_counts=True)
        written.counts[client] = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return written


def _check_clients(labels: Labels, clients: int) -> None:
    if clients < 1:
        raise ImpossibleSplitError(f"{clients} clients: use at least one")
    if clients > len(labels):
        raise ImpossibleSplitError(f"{clients} clients are more than the {len(labels)} examples: use fewer clients")


def _deal(labels: int, clients: int, labels_per_client: int, generator: np.random.Generator) -> list[list[int]]:
    """For each label, the clients that hold it: each client has `labels_per_client` different ones."""
    places = np.full(labels, clients * labels_per_client // labels)
    places[generator.permutation(labels)[: clients * labels_per_client % labels]] += 1
    holders: list[list[int]] = [[] for _ in range(labels)]
    for client in range(clients):
        # The labels with the most places left, ties at random: no label is left with more places than clients to come.
        chosen = np.lexsort((generator.random(labels), -places))[:labels_per_client]
        places[chosen] -= 1
        for label in chosen:
            holders[label].append(client)
    return holders


def _draw(
    mix: NDArray[np.float64], left: NDArray[np.intp], size: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """How many of each label to take: `size` in all, mixed as `mix` says, of a label no more than are left."""
    taken = np.zeros_like(left)
    while (missing := size - int(taken.sum())) > 0:
        open_mix = np.where(taken < left, mix, 0.0)
        if open_mix.sum() <= 0:  # all that the client should hold is used up: it gets what there is
            open_mix = (left - taken).astype(np.float64)
        drawn = generator.multinomial(missing, open_mix / open_mix.sum())
        taken = np.minimum(taken + drawn, left)
    return taken


def _with_local_test(own: Digits, generator: np.random.Generator) -> tuple[Digits, Digits]:
    fraction = max(LOCAL_TEST_FRACTION, 1 / len(own.labels))
    test = digits.stratified(own.labels, fraction, generator)
    train = np.setdiff1d(np.arange(len(own.labels)), test)
    return own.take(train), own.take(test)
