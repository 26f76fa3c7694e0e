"""cloud/averaging/optimizers.py: the papers' formulas for each coordinate, to the bit however the model is split."""

import itertools
import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cloud.averaging.new_model import ema
from cloud.averaging.optimizers import optimizer_of
from cloud.averaging.optimizers.optimizer import Values, Vectors
from cloud.settings import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi, ServerOptimizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPTIMIZERS: tuple[ServerOptimizer, ...] = (
    FedAvg(),
    FedAvg(learning_rate=0.5),
    FedAvgM(),
    FedAdagrad(),
    FedAdam(),
    FedYogi(),
    FedYogi(learning_rate=0.1, beta1=0.0, beta2=0.5, tau=0.1),
)
NAMES = [f"{number}-{optimizer.name}" for number, optimizer in enumerate(OPTIMIZERS)]
every = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=NAMES)


def values(size: int, seed: int, scale: float = 1.0) -> Values:
    return np.random.default_rng(seed).normal(size=size) * scale


def by_hand(optimizer: ServerOptimizer, weight: float, deltas: list[float]) -> float:
    """One coordinate over some rounds, in plain Python, with states in float64."""
    momentum = 0.0
    square = optimizer.tau**2 if isinstance(optimizer, FedAdagrad | FedAdam | FedYogi) else 0.0
    for delta in deltas:
        match optimizer:
            case FedAvg():
                weight += optimizer.learning_rate * delta
                continue
            case FedAvgM():
                momentum = optimizer.beta * momentum + delta
                weight += optimizer.learning_rate * momentum
                continue
            case FedAdagrad():
                square += delta**2
            case FedAdam():
                square = optimizer.beta2 * square + (1 - optimizer.beta2) * delta**2
            case FedYogi():
                difference = square - delta**2
                # FedYogi jumps where they are equal, and the state is rounded: which way is left to chance.
                assume(abs(difference) > 1e-6 * square)
                sign = (difference > 0) - (difference < 0)
                square -= (1 - optimizer.beta2) * delta**2 * sign
        momentum = optimizer.beta1 * momentum + (1 - optimizer.beta1) * delta
        weight += optimizer.learning_rate * momentum / (math.sqrt(square) + optimizer.tau)
    return weight


@every
@given(st.floats(-10, 10), st.lists(st.floats(-10, 10), min_size=1, max_size=8))
def test_each_coordinate_follows_the_papers_formula(
    optimizer: ServerOptimizer, weight: float, deltas: list[float]
) -> None:
    weights, state = np.array([weight]), optimizer_of(optimizer).initial_vectors(1)
    for delta in deltas:
        weights, state = optimizer_of(optimizer).step(weights, np.array([delta]), state)
    # Only the state is rounded to float32; a square root makes more of it where squares are small.
    assert weights[0] == pytest.approx(by_hand(optimizer, weight, deltas), rel=1e-4, abs=1e-4)


def test_the_first_step_of_each_is_what_one_can_reckon_in_ones_head() -> None:
    one, half = np.ones(1), np.full(1, 0.5)
    assert optimizer_of(FedAvg()).step(one, half, ())[0][0] == 1.5
    assert optimizer_of(FedAvgM()).step(one, half, (np.ones(1, np.float32),))[0][0] == pytest.approx(1 + 0.9 + 0.5)
    adagrad = FedAdagrad(learning_rate=1.0, beta1=0.0, tau=0.5)
    weights, state = optimizer_of(adagrad).step(one, np.array([math.sqrt(2)]), optimizer_of(adagrad).initial_vectors(1))
    assert state[1][0] == pytest.approx(2.25)
    assert weights[0] == pytest.approx(1 + math.sqrt(2) / (1.5 + 0.5))


@every
@given(data=st.data())
def test_any_split_into_blocks_gives_the_same_bits(optimizer: ServerOptimizer, data: st.DataObject) -> None:
    size, rounds = 300, 3
    cuts = data.draw(st.lists(st.integers(0, size), max_size=5).map(sorted))
    edges = list(itertools.pairwise([0, *cuts, size]))

    def run(parts: list[tuple[int, int]]) -> bytes:
        result = b""
        vectors: list[list[bytes]] = [[] for _ in optimizer_of(optimizer).vectors]
        for first, stop in parts:
            weights, state = values(size, 0)[first:stop], optimizer_of(optimizer).initial_vectors(stop - first)
            for number in range(rounds):
                delta = values(size, 1 + number, 10.0 ** (number - 2))[first:stop]
                weights, state = optimizer_of(optimizer).step(weights, delta, state)
            result += weights.tobytes()
            for vector, part in zip(vectors, state, strict=True):
                vector.append(part.tobytes())
        return result + b"".join(itertools.chain.from_iterable(vectors))

    assert run(edges) == run([(0, size)])


@every
def test_nothing_is_changed_in_place_and_dtypes_stay(optimizer: ServerOptimizer) -> None:
    weights, delta, state = values(50, 1), values(50, 2), optimizer_of(optimizer).initial_vectors(50)
    arrays: list[NDArray[Any]] = [weights, delta, *state]
    before = [array.tobytes() for array in arrays]
    new_weights, new_state = optimizer_of(optimizer).step(weights, delta, state)
    assert [array.tobytes() for array in arrays] == before
    assert new_weights.dtype == np.float64
    assert len(new_state) == len(state) == len(optimizer_of(optimizer).vectors)
    assert all(vector.dtype == np.float32 and vector.shape == (50,) for vector in new_state)


@every
def test_without_a_difference_a_fresh_optimizer_changes_nothing(optimizer: ServerOptimizer) -> None:
    weights = values(50, 1)
    moved, _ = optimizer_of(optimizer).step(weights, np.zeros(50), optimizer_of(optimizer).initial_vectors(50))
    assert np.array_equal(moved, weights)


@every
def test_the_largest_differences_leave_a_state_that_is_finite(optimizer: ServerOptimizer) -> None:
    delta = np.array([3.4e38, -3.4e38, 1e30, 1e-45, 0.0])
    weights, state = np.zeros(5), optimizer_of(optimizer).initial_vectors(5)
    with np.errstate(all="raise", under="ignore"):
        for _ in range(20):
            weights, state = optimizer_of(optimizer).step(weights, delta, state)
    assert np.isfinite(weights).all()
    assert all(np.isfinite(vector).all() for vector in state)


@pytest.mark.parametrize("optimizer", [FedAdagrad(), FedAdam(), FedYogi()], ids=lambda optimizer: optimizer.name)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_squares_never_become_negative(optimizer: ServerOptimizer, deltas: list[float]) -> None:
    weights, state = np.zeros(1), optimizer_of(optimizer).initial_vectors(1)
    for delta in deltas:
        weights, state = optimizer_of(optimizer).step(weights, np.array([delta]), state)
        assert state[1][0] >= 0
    assert np.isfinite(weights).all()


def test_yogis_squares_move_by_no_more_than_a_share_of_the_square() -> None:
    """What tells it from Adam: a sudden quiet lets Adam forget, Yogi not (Zaheer et al., 2018)."""
    loud: Vectors = (np.zeros(1, np.float32), np.ones(1, np.float32))
    quiet = np.full(1, 1e-3)
    adam = optimizer_of(FedAdam()).step(np.zeros(1), quiet, loud)[1][1][0]
    yogi = optimizer_of(FedYogi()).step(np.zeros(1), quiet, loud)[1][1][0]
    assert adam == pytest.approx(0.99)
    assert yogi == pytest.approx(1.0, abs=1e-6)


def test_momentum_goes_further_than_plain_averaging_along_one_direction() -> None:
    weights, state = np.zeros(1), optimizer_of(FedAvgM()).initial_vectors(1)
    for _ in range(100):
        weights, state = optimizer_of(FedAvgM()).step(weights, np.ones(1), state)
    assert state[0][0] == pytest.approx(10, rel=1e-3)
    assert weights[0] > 900


def test_the_average_of_weights_forgets_by_its_decay() -> None:
    average = np.zeros(1)
    for _ in range(10):
        average = ema(average, np.ones(1), 0.9)
    assert average[0] == pytest.approx(1 - 0.9**10)


@every
def test_an_optimizer_is_known_by_its_name(optimizer: ServerOptimizer) -> None:
    encoded = msgspec.json.encode(optimizer)
    assert msgspec.json.decode(encoded)["name"] == optimizer.name == type(optimizer).__name__.lower()
    assert msgspec.json.decode(encoded, type=ServerOptimizer) == optimizer


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"name": "sgd"}, "sgd"),
        ({}, "name"),
        ({"name": "fedavg", "beta": 0.9}, "beta"),
        ({"name": "fedadagrad", "beta2": 0.9}, "beta2"),
        ({"name": "fedavgm", "beta": 1.0}, "beta"),
        ({"name": "fedadam", "tau": 0.0}, "tau"),
        ({"name": "fedyogi", "learning_rate": -1.0}, "learning_rate"),
    ],
)
def test_settings_that_an_optimizer_does_not_have_are_refused_by_name(raw: dict[str, object], text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=text):
        msgspec.convert(raw, ServerOptimizer)
