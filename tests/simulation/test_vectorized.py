"""Clients that are trained together get the models that they get alone, or it is said why they are not."""

import copy
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
import torch
from msgspec import structs
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from components.client.trainer.learning import default_training
from components.client.trainer.learning.batches import Share
from components.client.trainer.learning.classification import IGNORED
from fedgrass.task import Data, Metrics, Training
from simulation.vectorized.program import start_of
from simulation.vectorized.together import TOLERANCE, Apart, Client, Outcome, Together, deviation
from simulation.vectorized.training import Trained

CLASSES = 3
PIXELS = 6
UNEVEN = (1, 7, 16, 17, 24, 33, 40)
"""Numbers of examples: of less than a batch, of whole ones, and with a last batch of one."""

CLOSE = 1e-5
"""In few steps on small models, well within TOLERANCE."""

PLAIN = Training(batch_size=8, learning_rate=0.1)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS * PIXELS, 16), nn.ReLU(), nn.Linear(16, CLASSES))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, CLASSES)
    )  # fmt: skip


def layer_normalized() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS * PIXELS, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))


def batch_normalized() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS * PIXELS, 16), nn.BatchNorm1d(16), nn.Linear(16, CLASSES))


def with_a_frozen_layer() -> nn.Module:
    model = perceptron()
    for parameter in list(model.parameters())[:2]:
        parameter.requires_grad_(False)
    return model


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(36, 36)
        self.second = nn.Linear(36, 36)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.second(torch.tanh(self.first(inputs.flatten(1))))
        return outputs[:, :CLASSES]


def dense() -> nn.Module:
    """Scores of each pixel."""
    return nn.Conv2d(1, CLASSES, 3, padding=1)


def images(number: int, seed: int) -> Tensor:
    return torch.randn(number, 1, PIXELS, PIXELS, generator=torch.Generator().manual_seed(seed))


def numbers(number: int, seed: int, shape: tuple[int, ...] = ()) -> Tensor:
    return torch.randint(0, CLASSES, (number, *shape), generator=torch.Generator().manual_seed(seed))


def clients_of(sizes: Sequence[int], targets: Callable[[int, int], Tensor] = numbers) -> list[Client]:
    return [
        Client(Data(train=TensorDataset(images(size, seed), targets(size, seed))), seed)
        for seed, size in enumerate(sizes)
    ]


def made_by(build: Callable[[], nn.Module], seed: int = 1) -> Callable[[], nn.Module]:
    """The same numbers each time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build()
    return lambda: copy.deepcopy(model)


def alone(make_network: Callable[[], nn.Module], client: Client, settings: Training) -> tuple[nn.Module, Metrics]:
    network = make_network()
    metrics = default_training.train(network, client.data, structs.replace(settings, seed=client.seed))
    return network, metrics


@pytest.fixture
def together() -> Iterator[Together]:
    found = Together(workers=1)
    yield found
    found.close()


def check_alike(
    together: Together, make_network: Callable[[], nn.Module], clients: Sequence[Client], settings: Training
) -> None:
    outcomes = dict(together.train(make_network, clients, settings))
    assert sorted(outcomes) == list(range(len(clients)))
    for place, client in enumerate(clients):
        outcome = outcomes[place]
        assert isinstance(outcome, Trained), outcome
        network, metrics = alone(make_network, client, settings)
        assert deviation(start_of(make_network()), outcome.values, start_of(network)) < CLOSE < TOLERANCE
        assert outcome.metrics == pytest.approx(metrics, rel=1e-4)


def reasons(outcomes: Iterator[tuple[int, Outcome]]) -> dict[int, str]:
    return {place: outcome.reason for place, outcome in outcomes if isinstance(outcome, Apart)}


@pytest.mark.parametrize(
    "build", [perceptron, convolutional, layer_normalized, with_a_frozen_layer, Tied], ids=lambda build: build.__name__
)
def test_clients_with_unlike_numbers_of_examples_get_the_models_that_they_get_alone(
    together: Together, build: Callable[[], nn.Module]
) -> None:
    check_alike(together, made_by(build), clients_of(UNEVEN), structs.replace(PLAIN, momentum=0.9, epochs=2))


@pytest.mark.parametrize(
    "changes",
    [
        {"momentum": 0.0},
        {"proximal": 0.5},
        {"proximal": 0.5, "momentum": 0.9},
        {"weight_decay": 0.1, "momentum": 0.9},
        {"clip_norm": 0.3},
        {"logit_calibration": 1.0},
        {"logit_calibration": 0.3, "momentum": 0.9},
        {"proximal": 0.5, "clip_norm": 0.3, "weight_decay": 0.1, "momentum": 0.5},
        {"steps": 4},
        {"steps": 5, "epochs": 2},
    ],
    ids=str,
)
def test_settings_mean_what_they_mean_for_one_client(together: Together, changes: dict[str, float]) -> None:
    settings = msgspec.convert({"batch_size": 8, "learning_rate": 0.1, **changes}, Training)
    check_alike(together, made_by(perceptron), clients_of(UNEVEN), settings)


def test_a_program_serves_later_rounds_and_other_numbers(together: Together) -> None:
    clients = clients_of([16, 16])
    for seed in (1, 2):
        make_network = made_by(perceptron, seed)
        settings = structs.replace(PLAIN, learning_rate=0.1 * seed, momentum=0.5)
        check_alike(together, make_network, [client._replace(seed=seed) for client in clients], settings)


def test_groups_are_trained_in_several_threads() -> None:
    together = Together(workers=3)
    check_alike(together, made_by(perceptron), clients_of(UNEVEN), PLAIN)
    together.close()


def test_shares_of_a_dataset_have_their_own_examples(together: Together) -> None:
    whole = TensorDataset(images(40, 0), numbers(40, 0).to(torch.uint8))
    shares: list[Dataset[tuple[Tensor, ...]]] = [
        Subset(whole, range(20)),
        Share(whole, range(20, 40)),
        Subset(Subset(whole, range(10, 40)), [-1, 3, -20, 0, 5]),
    ]
    check_alike(together, made_by(perceptron), [Client(Data(train=share), 3) for share in shares], PLAIN)


def test_targets_that_do_not_count_and_those_of_each_pixel(together: Together) -> None:
    def some_of_each_pixel(size: int, seed: int) -> Tensor:
        targets = numbers(size, seed, (PIXELS, PIXELS))
        return torch.where(targets.float().cumsum(1) > 8, IGNORED, targets)

    check_alike(together, made_by(dense), clients_of((9, 24, 30), some_of_each_pixel), PLAIN)


def test_probabilities_of_classes_as_targets(together: Together) -> None:
    def probabilities(size: int, seed: int) -> Tensor:
        return torch.softmax(torch.randn(size, CLASSES, generator=torch.Generator().manual_seed(seed)), 1)

    check_alike(together, made_by(perceptron), clients_of((9, 24, 30), probabilities), PLAIN)


def test_statistics_of_whole_batches_are_gathered_for_each_client(together: Together) -> None:
    check_alike(together, made_by(batch_normalized), clients_of((16, 24, 24)), PLAIN)


def test_a_model_that_normalizes_over_batches_is_trained_alone_where_these_are_not_whole(together: Together) -> None:
    make_network = made_by(batch_normalized)
    assert reasons(together.train(make_network, clients_of((16, 16)), PLAIN)) == {}
    found = reasons(together.train(make_network, clients_of((16, 20)), PLAIN))
    assert found.keys() == {0, 1}
    assert "gets other numbers than alone" in found[0]


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(36, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(inputs.flatten(1))
        return outputs if outputs.sum() > 0 else 2 * outputs


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(36, CLASSES)
        self.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        outputs: Tensor = self.layer(inputs.flatten(1))
        return outputs * self.calls


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(36, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        raise KeyError(f"no such layer for {len(inputs)} examples")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: nn.Sequential(perceptron(), nn.Dropout()), "it draws random numbers, as dropout does"),
        (Branching, "data-dependent control flow"),
        (Counting, "gets other numbers than alone"),
        (Broken, "no such layer"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 1)), "at least 2 classes"),
    ],
    ids=["dropout", "branching", "counting", "broken", "no classifier"],
)
def test_a_model_that_cannot_be_trained_together_with_others_is_named_a_reason(
    together: Together, build: Callable[[], nn.Module], reason: str
) -> None:
    found = reasons(together.train(made_by(build), clients_of((16, 16)), PLAIN))
    assert found.keys() == {0, 1}
    assert reason in found[0]


class Later(Training, frozen=True):
    nesterov: bool = False


def test_a_setting_that_is_not_known_here_is_not_ignored(together: Together) -> None:
    clients = clients_of((16, 16))
    settings = Later(batch_size=8, learning_rate=0.1, nesterov=True)
    assert set(reasons(together.train(made_by(perceptron), clients, settings)).values()) == {"training.nesterov is set"}
    assert reasons(together.train(made_by(perceptron), clients, structs.replace(settings, nesterov=False))) == {}


def test_datasets_without_tensors_are_trained_on_alone(together: Together) -> None:
    clients = clients_of((16, 16, 16))
    clients[1] = Client(Data(train=ConcatDataset([clients[1].data.train])), 1)
    found = reasons(together.train(made_by(perceptron), clients, PLAIN))
    assert found.keys() == {1}
    assert "TensorDataset" in found[1]


def test_a_loss_that_is_no_number_is_left_to_training_alone(together: Together) -> None:
    """Which tells in what epoch; the others of its group are trained."""
    clients = clients_of((16, 16, 16))
    clients[1].data.train.tensors[0][5] = torch.nan  # type: ignore[attr-defined]
    found = reasons(together.train(made_by(perceptron), clients, PLAIN))
    assert found.keys() == {1}


def test_a_class_that_the_model_does_not_have_is_left_to_training_alone(together: Together) -> None:
    clients = clients_of((16, 16))
    clients[1].data.train.tensors[1][5] = CLASSES  # type: ignore[attr-defined]
    assert 1 in reasons(together.train(made_by(perceptron), clients, PLAIN))


def test_clients_without_a_target_that_counts_are_left_to_training_alone(together: Together) -> None:
    clients = clients_of((16, 16, 16))
    clients[2].data.train.tensors[1][:] = IGNORED  # type: ignore[attr-defined]
    assert reasons(together.train(made_by(perceptron), clients, PLAIN)).keys() == {2}
