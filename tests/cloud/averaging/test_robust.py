"""cloud/averaging/robust.py: what the papers define, to the bit however it is split, whatever bad clients send."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.averaging.robust import (
    Matrix,
    Values,
    clipping_factors,
    coordinate_median,
    gram,
    krum,
    krum_scores,
    squared_distances,
    trimmed_count,
    trimmed_mean,
)
from cloud.settings import Averaging

CLIENTS = st.integers(1, 9)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100)


@st.composite
def matrices(draw: st.DrawFn, clients: st.SearchStrategy[int] = CLIENTS, columns: int = 4) -> Matrix:
    """Updates by row, of any finite numbers, with many ties among them."""
    few = [*draw(st.lists(NUMBERS, min_size=1, max_size=6)), 0.0, -0.0, 1.0]
    count = draw(clients)
    rows = st.lists(st.sampled_from(few), min_size=columns, max_size=columns)
    return np.array(draw(st.lists(rows, min_size=count, max_size=count)), np.float32)


def normal(clients: int, coordinates: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(clients, coordinates)).astype(np.float32)


def norms_of(values: Matrix) -> Values:
    norms: Values = np.linalg.norm(values.astype(np.float64), axis=1)
    return norms


def distances_of(values: Matrix) -> Values:
    return squared_distances(gram(values, norms_of(values)), norms_of(values))


# ---- Median and trimmed mean


@given(matrices())
def test_the_median_of_each_coordinate_is_the_median(values: Matrix) -> None:
    expected = [statistics.median(float(value) for value in column) for column in values.T]
    assert coordinate_median(values).tolist() == expected


@given(matrices(), st.floats(0, 0.5))
def test_the_trimmed_mean_of_each_coordinate_is_that_of_what_lies_between(values: Matrix, share: float) -> None:
    left_out = trimmed_count(len(values), share)
    for mean, column in zip(trimmed_mean(values, share), values.T.astype(np.float64), strict=True):
        kept = sorted(column)[left_out : len(column) - left_out]
        assert mean == pytest.approx(math.fsum(kept) / len(kept), rel=1e-12, abs=float(np.abs(kept).max()) * 1e-14)


def test_the_median_of_many_clients_is_that_of_numpy() -> None:
    for clients in (1, 2, 39, 40, 161):
        values = normal(clients, 5000, clients)
        assert np.array_equal(coordinate_median(values), np.median(values.astype(np.float64), axis=0))


@pytest.mark.parametrize(
    ("clients", "share", "count"),
    [
        (1, 0.4, 0),
        (2, 0.49, 0),
        (2, 0.1, 0),
        (3, 0.01, 1),
        (3, 0.3, 1),
        (4, 0.1, 1),
        (9, 0.1, 1),
        (11, 0.1, 2),
        (40, 1e-6, 1),
        (3, 0.34, 1),
        (10, 0.1, 1),
        (10, 0.3, 3),
        (100, 0.29, 29),
        (10, 0.5, 4),
        (11, 0.5, 5),
        (40, 0.0, 0),
    ],
)
def test_a_share_of_the_clients_is_left_out_at_each_end_and_some_always_stay(
    clients: int, share: float, count: int
) -> None:
    assert trimmed_count(clients, share) == count


@pytest.mark.parametrize("clients", range(3, 12))
def test_at_its_default_trimmed_mean_bears_one_bad_client_of_however_few(clients: int) -> None:
    values = normal(clients, 100)
    honest = values[1:].copy()
    values[0] = 1e30
    found = trimmed_mean(values, Averaging().trim)
    assert (found >= honest.min(axis=0)).all()
    assert (found <= honest.max(axis=0)).all()


def test_without_trimming_it_is_the_mean() -> None:
    values = normal(7, 1000)
    np.testing.assert_allclose(trimmed_mean(values, 0), values.astype(np.float64).mean(axis=0), rtol=1e-12, atol=1e-15)


@given(matrices(st.integers(3, 9)), st.data())
def test_as_many_bad_clients_as_are_trimmed_cannot_leave_the_range_of_the_good(
    honest: Matrix, data: st.DataObject
) -> None:
    bad = data.draw(st.integers(1, len(honest) - 1))
    outliers = np.array(
        data.draw(st.lists(st.lists(NUMBERS, min_size=4, max_size=4), min_size=bad, max_size=bad)), np.float32
    )
    together = np.concatenate([honest, outliers])
    share = bad / len(together)
    for robust in (coordinate_median(together), trimmed_mean(together, share)):
        assert (robust >= honest.min(axis=0)).all()
        assert (robust <= honest.max(axis=0)).all()


def test_one_bad_client_moves_a_mean_anywhere_but_no_median() -> None:
    values = normal(9, 100)
    values[4] = 1e30
    assert (np.abs(values.astype(np.float64).mean(axis=0)) > 1e28).all()
    assert (np.abs(coordinate_median(values)) < 3).all()
    assert (np.abs(trimmed_mean(values, 0.2)) < 3).all()


# ---- All rules: order and splits


@given(matrices(), st.data())
def test_the_order_of_clients_changes_no_bit(values: Matrix, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(values))))
    shuffled = values[order]
    assert coordinate_median(shuffled).tobytes() == coordinate_median(values).tobytes()
    assert trimmed_mean(shuffled, 0.2).tobytes() == trimmed_mean(values, 0.2).tobytes()
    assert np.array_equal(distances_of(shuffled), distances_of(values)[np.ix_(order, order)])


@pytest.mark.parametrize("clients", [1, 2, 10, 41])
@settings(max_examples=10)
@given(data=st.data())
def test_any_split_into_blocks_gives_the_same_bits(clients: int, data: st.DataObject) -> None:
    coordinates = 7_000
    values = normal(clients, coordinates, clients) * np.float32(10) ** normal(1, coordinates, 5)
    values[:, ::7] = 0.0
    values[::2, ::14] = -0.0
    norms = norms_of(values)
    cuts = data.draw(st.lists(st.integers(0, coordinates), max_size=5).map(sorted))
    parts = [slice(*edges) for edges in itertools.pairwise([0, *cuts, coordinates])]
    split = data.draw(st.permutations(parts))
    for rule in (coordinate_median, lambda block: trimmed_mean(block, 0.1)):
        assert b"".join(rule(values[:, part]).tobytes() for part in parts) == rule(values).tobytes()
    assert np.array_equal(sum(gram(values[:, part], norms) for part in split), gram(values, norms))


# ---- Distances and Krum


def reference_distances(values: Matrix) -> Values:
    wide = values.astype(np.float64)
    return np.array([[np.sum((one - other) ** 2) for other in wide] for one in wide])


@pytest.mark.parametrize("clients", [1, 2, 7, 40])
def test_distances_are_those_of_differences(clients: int) -> None:
    values = normal(clients, 30_000)
    distances = distances_of(values)
    np.testing.assert_allclose(distances, reference_distances(values), rtol=1e-5)
    assert np.array_equal(distances, distances.T)
    assert (np.diagonal(distances) == 0).all()


@given(matrices(columns=6))
def test_distances_of_whatever_numbers_are_symmetric_and_as_exact_as_norms_allow(values: Matrix) -> None:
    distances, norms = distances_of(values), norms_of(values)
    assert (distances >= 0).all()
    assert np.array_equal(distances, distances.T)
    assert (np.diagonal(distances) == 0).all()
    bound = (norms[:, None] + norms[None, :]) ** 2 * 1e-6
    assert (np.abs(distances - reference_distances(values)) <= bound).all()


def test_equal_updates_have_no_distance_and_nearly_equal_ones_a_small_one() -> None:
    values = normal(4, 50_000)
    values[1] = values[0]
    values[3] = values[2] * np.float32(1.001)
    distances = distances_of(values)
    assert distances[0, 1] == 0
    exact = reference_distances(values)[2, 3]
    assert distances[2, 3] == pytest.approx(exact, rel=1e-2)


def test_a_huge_update_does_not_blur_the_distances_between_the_others() -> None:
    values = normal(6, 10_000)
    before = distances_of(values)
    values[5] = 3e38
    after = distances_of(values)
    assert np.array_equal(after[:5, :5], before[:5, :5])
    assert np.isfinite(after).all()


def test_updates_of_nothing_but_zeros_have_distances() -> None:
    values = normal(3, 100)
    values[1] = 0
    assert distances_of(values)[0, 1] == pytest.approx(float(norms_of(values)[0] ** 2), rel=1e-6)
    assert (distances_of(np.zeros((3, 5), np.float32)) == 0).all()


def test_a_gram_matrix_is_of_exact_integers() -> None:
    """The largest that can come up: all of the weight of both rows in the same coordinates."""
    values = np.full((3, 100_000), 0.999, np.float32)
    products = gram(values, norms_of(values))
    assert np.array_equal(products, np.rint(products))
    assert products.max() <= 2.0**52
    assert products.min() > 2.0**49  # or precision would be given away


def reference_scores(distances: Values, byzantine: int) -> list[float]:
    count = max(len(distances) - byzantine - 2, 1)
    return [
        math.fsum(sorted(distance for other, distance in enumerate(row) if other != client)[:count])
        for client, row in enumerate(distances.tolist())
    ]


@given(matrices(), st.integers(0, 4))
def test_a_clients_score_is_the_sum_of_distances_to_its_nearest_others(values: Matrix, byzantine: int) -> None:
    distances = distances_of(values)
    assert krum_scores(distances, byzantine).tolist() == pytest.approx(reference_scores(distances, byzantine))


def test_krum_takes_an_update_from_the_midst_of_the_good_ones() -> None:
    honest = normal(8, 1000) * np.float32(0.1) + 1
    bad = np.stack([honest[0] + 5, -honest[1], normal(1, 1000, 9)[0] * 100]).astype(np.float32)
    values = np.concatenate([bad[:1], honest[:4], bad[1:2], honest[4:], bad[2:]])
    positions = {0, 5, 10}
    distances = distances_of(values)
    assert krum(distances, 3)[0] not in positions
    assert krum(distances, 3, 8) == sorted(set(range(11)) - positions)


def test_bad_clients_that_agree_with_each_other_are_too_few_to_be_near_to_many() -> None:
    values = normal(11, 500)
    values[:4] = 7.0  # four of the same: three others at distance zero, but six neighbours count
    assert krum(distances_of(values), 4)[0] >= 4
    values[:] = normal(11, 500)
    values[:9] = 7.0
    assert krum(distances_of(values), 4)[0] < 9


def test_of_clients_that_score_alike_the_first_are_taken_and_all_come_in_their_own_order() -> None:
    distances = distances_of(np.ones((6, 10), np.float32))
    assert krum(distances, 1) == [0]
    assert krum(distances, 1, 3) == [0, 1, 2]
    assert krum(distances, 1, 99) == [0, 1, 2, 3, 4, 5]
    values = np.stack([np.full(10, value, np.float32) for value in (9, 0, 8, 0.1, 0.2)])
    assert krum(distances_of(values), 1, 3) == [1, 3, 4]


@pytest.mark.parametrize("clients", [1, 2, 3])
def test_few_clients_have_scores(clients: int) -> None:
    assert krum(distances_of(normal(clients, 10)), 1) == [0] or clients == 3
    assert np.isfinite(krum_scores(distances_of(normal(clients, 10)), 5)).all()


# ---- Clipping


def test_only_updates_longer_than_the_limit_are_made_shorter() -> None:
    assert clipping_factors(np.array([0.0, 0.5, 1.0, 2.0, 1e300]), 1.0).tolist() == [1.0, 1.0, 1.0, 0.5, 1e-300]
