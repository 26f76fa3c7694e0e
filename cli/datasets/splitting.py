"""Shares a set of labelled examples out among clients: evenly, by labels, or by Dirichlet's distribution.

Every split gives each example to exactly one client and each client at least one example, and is the same whenever the
seed is the same.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cli.datasets.dataset import Rows
from cli.plurals import counted

Labels: TypeAlias = NDArray[np.integer]
"""A number for each example's label."""


class InvalidSplitError(ValueError):
    """A text that names no split."""


class ImpossibleSplitError(ValueError):
    """These examples cannot be shared out among so many clients in this way."""


class Split(NamedTuple):
    """How to share out: iid has no parameter, labels has a number of labels a client, dirichlet has alpha, and by has a
    column, each of whose values is a client."""

    kind: Literal["iid", "labels", "dirichlet", "by"]
    parameter: float = 0.0
    column: str = ""

    @property
    def needs_labels(self) -> bool:
        """Whether it reckons with what the examples show."""
        return self.kind in ("labels", "dirichlet")

    def apply(self, labels: Labels, clients: int, seed: int, names: Sequence[str] = ()) -> list[Rows]:
        """The shards that this split makes of examples with these labels, which `names` has the names of; see the
        function of its kind. A split by a column has no part in chance, and makes none."""
        match self.kind:
            case "iid":
                return iid(len(labels), clients, seed)
            case "labels":
                return by_labels(labels, clients, int(self.parameter), seed, names)
            case "dirichlet":
                return dirichlet(labels, clients, self.parameter, seed)
            case "by":
                raise InvalidSplitError(f"split {self}: the column decides, not a number of clients")

    def __str__(self) -> str:
        """The text that names it."""
        return {"iid": "iid", "by": f"by:{self.column}"}.get(self.kind, f"{self.kind}:{self.parameter:g}")


def parse_split(text: str) -> Split:
    """The split that "iid", "labels:2", "dirichlet:0.5" or "by:user" names.

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
        if kind == "by" and parameter:
            return Split("by", column=parameter)
    except ValueError:
        pass  # no number: the message below says what is
    raise InvalidSplitError(
        f"split {text!r}: use iid, labels:<labels a client, from 1>, dirichlet:<alpha, above 0> or by:<column>, "
        "such as labels:2, dirichlet:0.5 or by:user"
    )


def iid(examples: int, clients: int, seed: int) -> list[Rows]:
    """Shards of equal size, give or take one example, drawn at random.

    Raises:
        ImpossibleSplitError: more clients than examples, or no client.
    """
    _check_clients(examples, clients)
    order = np.random.default_rng(seed).permutation(examples)
    return [np.sort(shard) for shard in np.array_split(order, clients)]


def by_labels(labels: Labels, clients: int, labels_per_client: int, seed: int, names: Sequence[str] = ()) -> list[Rows]:
    """Shards with examples of exactly `labels_per_client` labels each; each label's examples are divided evenly among
    the clients that hold it, and every label has as many clients as any other, give or take one.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (AISTATS 2017), section
    3, give each client two runs of the examples sorted by label; here labels themselves are dealt, so that no client
    has fewer than asked for.

    Raises:
        ImpossibleSplitError: more clients than examples, more labels a client than there are, too few clients to hold
            all labels, or a label with fewer examples than clients to hold it.
    """
    _check_clients(len(labels), clients)
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
    parts: list[list[Rows]] = [[] for _ in range(clients)]
    for value, count, held_by in zip(values, counts, holders, strict=True):
        if count < len(held_by):
            raise ImpossibleSplitError(
                f"label {names[value] if names else value} has {counted(int(count), 'example')} for {len(held_by)} "
                "clients that should hold it: use fewer clients"
            )
        order = generator.permutation(np.flatnonzero(labels == value))
        for client, part in zip(held_by, np.array_split(order, len(held_by)), strict=True):
            parts[client].append(part)
    return [np.sort(np.concatenate(part)) for part in parts]


def dirichlet(labels: Labels, clients: int, alpha: float, seed: int) -> list[Rows]:
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
    _check_clients(len(labels), clients)
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


def stratified(labels: Labels, fraction: float, generator: np.random.Generator) -> Rows:
    """Sorted indices of a random part of the examples, with each label's share of the whole (largest remainders, at
    random among equal ones).

    The part has round(fraction * n) examples.
    """
    values, counts = np.unique(labels, return_counts=True)
    quotas = counts * fraction
    sizes = np.floor(quotas).astype(np.intp)
    missing = round(len(labels) * fraction) - int(sizes.sum())
    sizes[np.lexsort((generator.random(len(values)), sizes - quotas))[:missing]] += 1
    order = generator.permutation(len(labels))
    by_label = order[np.argsort(labels[order], kind="stable")]
    starts = np.cumsum(counts) - counts
    return np.sort(np.concatenate([by_label[start : start + size] for start, size in zip(starts, sizes, strict=True)]))


def _check_clients(examples: int, clients: int) -> None:
    if clients < 1:
        raise ImpossibleSplitError(f"{clients} clients: use at least one")
    if clients > examples:
        raise ImpossibleSplitError(f"{clients:,} clients are more than the {examples:,} examples: use fewer clients")


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
