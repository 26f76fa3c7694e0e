"""cli/datasets/dividing.py: who gets what, by chance or by a column, and what nobody gets."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.datasets.dataset import Dataset, UnknownColumnError
from cli.datasets.dividing import Division, Holdout, Request, divide, parse_holdout
from cli.datasets.opening import open_source
from cli.datasets.splitting import ImpossibleSplitError, InvalidSplitError, parse_split
from protocol.names import InvalidNameError

Table = Callable[..., Dataset]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    def make(users: list[str], labels: list[str] | None = None) -> Dataset:
        given_labels = labels or ["cat" if number % 2 else "dog" for number in range(len(users))]
        lines = [
            f"{user},{number},{label}" for number, (user, label) in enumerate(zip(users, given_labels, strict=True))
        ]
        (tmp_path / "data.csv").write_text("\n".join(["user,x,label", *lines, ""]))
        return open_source(tmp_path / "data.csv").examples

    return make


def by_user(dataset: Dataset, holdout: str | None = None, seed: int = 0) -> Division:
    kept = parse_holdout(holdout) if holdout else None
    return divide(dataset, Request(parse_split("by:user"), holdout=kept, seed=seed))


def rows_of(division: Division) -> list[int]:
    """All rows, of clients and held out, sorted."""
    return sorted(np.concatenate([*division.clients.values(), division.holdout]).tolist())


@pytest.mark.parametrize("split", ["iid", "labels:1", "dirichlet:0.5", "by:user"])
def test_each_row_is_a_client_s_or_held_out_and_the_same_seed_gives_the_same(table: Table, split: str) -> None:
    dataset = table([f"u{number % 5}" for number in range(100)])
    request = Request(parse_split(split), None if split.startswith("by") else 5, seed=3)
    division, again = divide(dataset, request), divide(dataset, request)
    assert rows_of(division) == list(range(100))
    assert len(division.holdout) == 20
    assert np.array_equal(division.holdout, again.holdout)
    assert all(np.array_equal(rows, again.clients[name]) for name, rows in division.clients.items())
    other = divide(dataset, request._replace(seed=4))
    assert not np.array_equal(division.holdout, other.holdout)


def test_the_holdout_has_each_label_s_share(table: Table) -> None:
    dataset = table(["u"] * 100, ["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    division = divide(dataset, Request(parse_split("iid"), 2))
    assert division.labels is not None
    assert np.bincount(division.labels.codes[division.holdout]).tolist() == [12, 6, 2]


def test_of_each_client_by_a_column_a_part_is_held_out(table: Table) -> None:
    sizes = {"ann": 50, "bob": 10, "cy": 3, "dee": 2, "eve": 1}
    division = by_user(table([user for user, size in sizes.items() for _ in range(size)]))
    assert {name: len(rows) for name, rows in division.clients.items()} == {
        "ann": 40, "bob": 8, "cy": 2, "dee": 2, "eve": 1
    }  # fmt: skip
    assert division.notes == ("1 client with a single example, and none to test on: eve",)


def test_whole_clients_are_left_out_on_request(table: Table) -> None:
    users = [f"u{number % 10}" for number in range(100)]
    division = by_user(table(users), "clients:20%")
    assert len(division.clients) == 8
    assert len({users[row] for row in division.holdout}) == 2
    assert rows_of(division) == list(range(100))


@given(st.lists(st.sampled_from(["a", "b", "c", "", " "]), min_size=1, max_size=60), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_whatever_a_column_has_in_it_no_client_is_left_without_rows(
    tmp_path_factory: pytest.TempPathFactory, users: list[str], share: int
) -> None:
    path = tmp_path_factory.mktemp("table") / "data.csv"
    path.write_text("\n".join(["user,x", *(f"{user},1" for user in users), ""]))
    known = [user for user in users if user.strip()]
    try:
        division = by_user(open_source(path).examples, f"{share}%")
    except ImpossibleSplitError as error:
        assert not known or (share and "rows enough" in str(error))
        return
    assert min(map(len, division.clients.values())) >= 1
    assert set(division.clients) == set(known)
    assert len(rows_of(division)) == len(known)


def test_clients_are_called_after_the_values_that_they_stand_for(table: Table) -> None:
    division = by_user(table(["7", "Alice Smith", "bob"] * 10))
    assert division.values["user-7"] == "7"
    assert [value for name, value in division.values.items() if name.startswith("Alice-Smith-")] == ["Alice Smith"]
    assert division.values["bob"] == "bob"
    assert list(division.clients) == sorted(division.clients)


def test_rows_without_a_user_or_a_label_are_nobody_s_and_counted(table: Table) -> None:
    division = by_user(table(["a", "", "b", "a", "b", "a"] * 5, ["x", "x", "", "y", "y", "x"] * 5))
    assert rows_of(division) == [row for row in range(30) if row % 6 not in (1, 2)]
    assert division.notes == (
        "5 examples without a value in 'label' left out; the first is number 3",
        "5 examples without a value in 'user' left out; the first is number 2",
    )


def test_names_of_one_s_own_things_can_be_given(table: Table) -> None:
    division = divide(table(["u"] * 20), Request(parse_split("iid"), names=("pi-kitchen", "pi-garage")))
    assert list(division.clients) == ["pi-kitchen", "pi-garage"]


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (
            Request(parse_split("iid"), 50),
            "50 clients are more than the 32 examples: use fewer clients (40 examples, 8",
        ),
        (Request(parse_split("iid"), 10**12), "1,000,000,000,000 clients are more than the 32 examples"),
        (Request(parse_split("labels:3"), 5), "3 labels a client: the examples have 2"),
        (Request(parse_split("by:user"), 3), "makes a client of each of its 4 values, not 3: leave --clients out"),
        (Request(parse_split("by:user"), names=("a", "b")), "2 names for 4 clients"),
        (Request(parse_split("iid"), 3, names=("a", "b")), "2 names for 3 clients"),
        (Request(parse_split("iid"), names=("a", "a")), "client a is named twice"),
        (Request(parse_split("iid"), 2, holdout=Holdout(0.2, "clients")), "only a split by a column"),
    ],
)
def test_what_can_t_be_done_is_told_with_what_can(table: Table, request_: Request, told: str) -> None:
    dataset = table([f"u{number % 4}" for number in range(40)])
    with pytest.raises(ImpossibleSplitError, match=re.escape(told)):
        divide(dataset, request_)


def test_columns_that_are_not_there_and_names_that_no_thing_has_are_refused(table: Table) -> None:
    dataset = table(["u"] * 20)
    for request in (Request(parse_split("by:usr")), Request(parse_split("iid"), 2, label="lable")):
        with pytest.raises(UnknownColumnError, match="did you mean"):
            divide(dataset, request)
    with pytest.raises(InvalidNameError, match=re.escape("'../a'")):
        divide(dataset, Request(parse_split("iid"), names=("../a",)))


def test_a_source_s_own_holdout_is_not_held_out_again(table: Table) -> None:
    dataset = table(["u"] * 20)
    assert not len(divide(dataset, Request(parse_split("iid"), 2), held_out_already=True).holdout)
    with pytest.raises(ImpossibleSplitError, match="leave --holdout out"):
        divide(dataset, Request(parse_split("iid"), 2, holdout=Holdout()), held_out_already=True)


def test_labels_are_wanted_where_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x,y\n" + "".join(f"{number},{number / 7}\n" for number in range(40)))
    dataset = open_source(tmp_path / "data.csv").examples
    with pytest.raises(ImpossibleSplitError, match=re.escape("name their column with --label (there are 'x', 'y')")):
        divide(dataset, Request(parse_split("dirichlet:0.5"), 2))
    named = divide(dataset, Request(parse_split("dirichlet:0.5"), 2, label="x"))
    assert rows_of(named) == list(range(40))


@pytest.mark.parametrize("text", ["20%", "0%", "12.5%", "clients:20%"])
def test_a_holdout_tells_the_text_that_names_it(text: str) -> None:
    assert str(parse_holdout(text)) == text


@pytest.mark.parametrize("text", ["", "20", "0.2", "100%", "-1%", "x%", "nan%", "rows:20%", ":20%", "clients:"])
def test_a_text_that_names_no_holdout_is_refused(text: str) -> None:
    with pytest.raises(InvalidSplitError, match=re.escape(repr(text))):
        parse_holdout(text)
