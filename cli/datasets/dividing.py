"""Decides which client gets which examples, and which nobody gets. Pure: nothing is written."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from cli.datasets import splitting, thing_names
from cli.datasets.dataset import Column, Dataset, Rows, column_of, named
from cli.datasets.splitting import ImpossibleSplitError, InvalidSplitError, Split
from cli.plurals import counted
from protocol.names import check_thing

_NAMED = 5
_NAMED_COLUMNS = 20


class Holdout(NamedTuple):
    """Which share is kept from the clients: of all examples, or of the clients themselves, with all that they have."""

    fraction: float = 0.2
    of: Literal["examples", "clients"] = "examples"

    def __str__(self) -> str:
        """The text that names it."""
        return f"{'clients:' if self.of == 'clients' else ''}{100 * self.fraction:g}%"


class Request(NamedTuple):
    """What a person asks for. `clients` is how many; a split by a column makes one of each value, and has None.
    `names` are those of the clients, or empty. `holdout` is None for a fifth, or what the source itself holds out."""

    split: Split
    clients: int | None = None
    names: tuple[str, ...] = ()
    label: str | None = None
    holdout: Holdout | None = None
    seed: int = 0


class Division(NamedTuple):
    """Who gets which rows. `labels` is the column `label`, if there is one; `values` has what each client stands for
    if a column decides; `notes` is what a person should know."""

    clients: dict[str, Rows]
    holdout: Rows
    label: str | None
    labels: Column | None
    values: dict[str, str]
    notes: tuple[str, ...]


def parse_holdout(text: str) -> Holdout:
    """The holdout that "20%", "0%" or "clients:20%" names.

    Raises:
        InvalidSplitError: it names none.
    """
    prefix, colon, share = text.rpartition(":")
    try:
        fraction = float(share.removesuffix("%")) / 100
        if share.endswith("%") and 0 <= fraction < 1 and (prefix == "clients" if colon else True):
            return Holdout(fraction, "clients" if colon else "examples")
    except ValueError:
        pass  # no number: the message below says what is
    raise InvalidSplitError(
        f"holdout {text!r}: use a share of the examples from 0% to below 100%, such as 20%, "
        "or of the clients, such as clients:20%"
    )


def divide(dataset: Dataset, request: Request, *, held_out_already: bool = False) -> Division:
    """Shares the examples out. The same data set, request and seed give the same rows.

    Raises:
        UnknownColumnError: the request names a column that there is not.
        ImpossibleSplitError: it can't be done with these examples; the text says why, and what can.
        protocol.names.InvalidNameError: a client's name could not be a thing's.
    """
    if held_out_already and request.holdout is not None:
        raise ImpossibleSplitError(f"{dataset.path} has a held-out part of its own, for tests: leave --holdout out")
    holdout = Holdout(0.0) if held_out_already else request.holdout or Holdout()
    label, labels = _labels(dataset, request)
    by = column_of(dataset, request.split.column) if request.split.kind == "by" else None
    usable, notes = _usable(len(dataset), {label: labels, request.split.column or None: by})
    if by is not None:
        clients, held_out, values = _by_column(request, holdout, usable, by, labels)
        _tell_about_single_rows(clients, notes)
    else:
        clients, held_out = _at_random(request, holdout, usable, labels)
        values = {}
    return Division(clients, held_out, label, labels, values, tuple(notes))


def _labels(dataset: Dataset, request: Request) -> tuple[str | None, Column | None]:
    if request.label is not None:
        return request.label, column_of(dataset, request.label)
    if dataset.label is not None:
        return dataset.label, dataset.column(dataset.label)
    if request.split.needs_labels:
        columns = ", ".join(map(named, dataset.columns[:_NAMED_COLUMNS])) or "no columns"
        raise ImpossibleSplitError(
            f"split {request.split}: {dataset.path} has no labels that fedgrass knows of; name their column with "
            f"--label (there are {columns}), or use iid or by:<column>"
        )
    return None, None


def _usable(examples: int, columns: dict[str | None, Column | None]) -> tuple[Rows, list[str]]:
    """The rows that have a value in each of the columns, and notes about the others."""
    notes = []
    usable = np.ones(examples, bool)
    for name, column in columns.items():
        if column is None:
            continue
        without = column.codes < 0
        if without.any():
            first = int(np.argmax(without)) + 1
            rows = counted(int(without.sum()), "example")
            notes.append(f"{rows} without a value in {named(name or '')} left out; the first is number {first:,}")
            usable &= ~without
    if not usable.any():
        both = " and ".join(named(name or "") for name, column in columns.items() if column is not None)
        raise ImpossibleSplitError(f"no example has a value in {both}: name another column")
    return np.flatnonzero(usable), notes


def _at_random(request: Request, holdout: Holdout, usable: Rows, labels: Column | None) -> tuple[dict[str, Rows], Rows]:
    if holdout.of == "clients":
        raise ImpossibleSplitError(
            f"holdout {holdout}: only a split by a column can leave out clients; use such as 20%"
        )
    if request.names and request.clients not in (None, len(request.names)):
        raise ImpossibleSplitError(f"{counted(len(request.names), 'name')} for {request.clients:,} clients: name each")
    count = len(request.names) or request.clients or 0
    given = _checked(request.names)
    codes = np.zeros(len(usable), np.intp) if labels is None else labels.codes[usable]
    generator = np.random.default_rng([request.seed, 1])
    held_out = splitting.stratified(codes, holdout.fraction, generator)
    rest = np.setdiff1d(np.arange(len(usable)), held_out)
    try:
        shards = request.split.apply(codes[rest], count, request.seed, labels.values if labels else ())
    except ImpossibleSplitError as error:
        kept = f" ({len(usable):,} examples, {len(held_out):,} of them held out)" if len(held_out) else ""
        raise ImpossibleSplitError(f"{error}{kept}") from error
    names = given or thing_names.numbered(count)
    return dict(zip(names, (usable[rest[shard]] for shard in shards), strict=True)), usable[held_out]


def _by_column(
    request: Request, holdout: Holdout, usable: Rows, by: Column, labels: Column | None
) -> tuple[dict[str, Rows], Rows, dict[str, str]]:
    order = usable[np.argsort(by.codes[usable], kind="stable")]
    codes, starts = np.unique(by.codes[order], return_index=True)
    values = [by.values[code] for code in codes]
    if request.clients is not None and request.clients != len(values):
        raise ImpossibleSplitError(
            f"split {request.split} makes a client of each of its {len(values):,} values, not {request.clients:,}: "
            "leave --clients out"
        )
    if len(request.names) not in (0, len(values)):
        raise ImpossibleSplitError(
            f"{counted(len(request.names), 'name')} for {len(values):,} clients of {request.split}: leave --names out"
        )
    names = _checked(request.names) or thing_names.of_values(values, request.split.column)
    rows = [np.sort(part) for part in np.split(order, starts[1:])]
    own = dict(sorted(zip(names, rows, strict=True)))
    stand_for = dict(zip(names, values, strict=True))
    generator = np.random.default_rng([request.seed, 1])
    if holdout.of == "clients":
        if len(own) < 2:
            raise ImpossibleSplitError(f"holdout {holdout}: {request.split} makes a single client; use such as 20%")
        count = min(max(1, round(holdout.fraction * len(own))), len(own) - 1)
        absent = {list(own)[index] for index in generator.permutation(len(own))[:count]}
        held_out = np.sort(np.concatenate([own[name] for name in absent]))
        return {name: part for name, part in own.items() if name not in absent}, held_out, stand_for
    parts = []
    for name, part in own.items():
        size = min(round(holdout.fraction * len(part)), len(part) - 1)
        codes = np.zeros(len(part), np.intp) if labels is None else labels.codes[part]
        chosen = splitting.stratified(codes, size / len(part), generator)
        parts.append(part[chosen])
        own[name] = np.delete(part, chosen)
    held_out = np.sort(np.concatenate(parts))
    if holdout.fraction and not len(held_out):
        raise ImpossibleSplitError(
            f"no client of {request.split} has rows enough to hold {holdout} of them out: "
            "use --holdout clients:20%, which leaves out whole clients, or --holdout 0%"
        )
    return own, held_out, stand_for


def _tell_about_single_rows(clients: dict[str, Rows], notes: list[str]) -> None:
    single = [name for name, rows in clients.items() if len(rows) == 1]
    if single:
        some = ", ".join(single[:_NAMED]) + (", ..." if len(single) > _NAMED else "")
        notes.append(f"{counted(len(single), 'client')} with a single example, and none to test on: {some}")


def _checked(names: Sequence[str]) -> list[str]:
    checked = [check_thing(name) for name in names]
    twice = next((name for name in checked if checked.count(name) > 1), None)
    if twice is not None:
        raise ImpossibleSplitError(f"client {twice} is named twice: give each a name of its own")
    return checked
