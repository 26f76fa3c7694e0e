"""Loss and accuracy of the default training and evaluation, for every kind of target that a classifier has."""

from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from components.client.trainer.learning import default_training
from components.client.trainer.learning.classification import IGNORED
from components.client.trainer.learning.objectives import OwnLoss
from fedgrass.task import Data, Training

PAIRS = TensorDataset(torch.randn(4, 2), torch.zeros(4).long())
SETTINGS = Training(batch_size=4, learning_rate=0.1, epochs=1)


class Given(nn.Module):
    """Its inputs are its scores."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs: Any) -> Any:
        return inputs * self.scale


def evaluate(scores: Tensor, targets: Tensor) -> dict[str, float]:
    return default_training.evaluate(Given(), Data(TensorDataset(scores), TensorDataset(scores, targets)))


def scores_of(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(10, 3), (600, 3), (10, 3, 7), (10, 3, 8, 8), (10, 3, 2, 2, 2)])
@pytest.mark.parametrize("ignored", [0.0, 0.5])
def test_accuracy_is_a_share_of_all_targets_that_count(shape: tuple[int, ...], ignored: float) -> None:
    scores = scores_of(*shape)
    targets = torch.randint(0, 3, (shape[0], *shape[2:]), generator=torch.Generator().manual_seed(2))
    targets[torch.rand(targets.shape, generator=torch.Generator().manual_seed(3)) < ignored] = IGNORED
    found = evaluate(scores, targets)
    counts = targets != IGNORED
    assert found["accuracy"] == ((scores.argmax(1) == targets) & counts).sum().item() / counts.sum().item()
    assert found["loss"] == pytest.approx(functional.cross_entropy(scores, targets).item())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.bool])
def test_class_numbers_of_any_integer_type_are_class_numbers(dtype: torch.dtype) -> None:
    scores, targets = scores_of(300, 2), torch.randint(0, 2, (300,))
    assert evaluate(scores, targets.to(dtype)) == evaluate(scores, targets)


def test_a_class_number_that_looks_like_the_ignored_one_in_a_byte_counts() -> None:
    scores = torch.zeros(4, 200)
    scores[:, 156] = 1.0  # as a byte, -100 has the same bits
    assert evaluate(scores, torch.full((4,), 156, dtype=torch.uint8))["accuracy"] == 1.0


@pytest.mark.parametrize("shape", [(10, 3), (10, 3, 5)])
def test_targets_may_be_the_probability_of_each_class(shape: tuple[int, ...]) -> None:
    scores = scores_of(*shape)
    targets = torch.rand(shape).softmax(1)
    found = evaluate(scores, targets)
    assert found["loss"] == pytest.approx(functional.cross_entropy(scores, targets).item())
    assert found["accuracy"] == pytest.approx((scores.argmax(1) == targets.argmax(1)).float().mean().item())
    default_training.train(Given(), Data(TensorDataset(scores, targets)), SETTINGS)


def test_a_batch_without_a_target_that_counts_changes_nothing() -> None:
    scores, targets = scores_of(12, 3), torch.randint(0, 3, (12,))
    targets[:8] = IGNORED
    model = Given()
    metrics = default_training.train(model, Data(TensorDataset(scores, targets)), SETTINGS)
    assert metrics["steps"] == 3
    assert 0 < metrics["loss"] < 10
    assert model.scale.isfinite()


def test_without_any_target_that_counts_there_is_no_metric_and_no_training() -> None:
    scores, targets = scores_of(4, 3), torch.full((4,), IGNORED)
    assert evaluate(scores, targets) == {}
    with pytest.raises(ValueError, match="no target of the training set counts"):
        default_training.train(Given(), Data(TensorDataset(scores, targets)), SETTINGS)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (torch.randn(4), torch.rand(4), r"the model gives a tensor of shape \[4\]"),
        (torch.randn(4, 1), torch.rand(4, 1).round(), r"scores \[examples, classes, ...\] of at least 2 classes"),
        (torch.randn(4, 1), torch.tensor([0, 0, 0, 0]), "at least 2 classes"),
        (
            torch.randn(4, 2),
            torch.randn(4, 2),
            "class numbers .* or the probability of each class; else give your .* own",
        ),
        (torch.randn(4, 2), torch.rand(4), "class numbers"),
        (torch.randn(4, 3), torch.eye(3).long()[[0, 1, 2, 0]], r"shape \[4, 3\], .* need class numbers of shape \[4\]"),
        (torch.randn(4, 3), torch.zeros(4, 1).long(), r"class numbers of shape \[4\]"),
        (torch.randn(4, 7, 3), torch.zeros(4, 7).long(), r"\[4, 7, 3\], whose second dimension is the classes"),
        (torch.randn(4, 2), torch.zeros(4, 2, dtype=torch.complex64), "class numbers"),
    ],
)
def test_what_no_classifier_has_is_told_plainly(scores: Tensor, targets: Tensor, message: str) -> None:
    data = Data(TensorDataset(scores, targets), TensorDataset(scores, targets))
    with pytest.raises(TypeError, match=message):
        default_training.evaluate(Given(), data)
    with pytest.raises(TypeError, match=message):
        default_training.train(Given(), data, SETTINGS)
    with pytest.raises(TypeError):
        default_training.validate(Given(), data)


def test_a_model_that_gives_no_tensor_is_told_plainly() -> None:
    class Several(Given):
        def forward(self, inputs: Any) -> Any:
            return {"logits": inputs}

    with pytest.raises(TypeError, match="the model gives dict, no tensor of scores"):
        default_training.evaluate(Several(), Data(PAIRS, PAIRS))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"momentum": 0.9},
        {"proximal": 0.5},
        {"momentum": 0.5, "proximal": 0.5},
        {"weight_decay": 0.1},
        {"clip_norm": 0.1},
    ],
)
def test_sparse_gradients_train_as_dense_ones_do(changes: dict[str, float]) -> None:
    trained = []
    for sparse in (False, True):
        torch.manual_seed(4)
        model = nn.Sequential(nn.Embedding(9, 4, sparse=sparse), nn.Flatten(), nn.Linear(8, 2))
        words = torch.randint(0, 9, (12, 2), generator=torch.Generator().manual_seed(5))
        settings = Training(batch_size=4, learning_rate=0.1, epochs=3, **changes)  # type: ignore[arg-type]
        default_training.train(model, Data(TensorDataset(words, words[:, 0] % 2)), settings)
        trained.append(model.state_dict())
    assert all(torch.allclose(value, trained[1][name], atol=1e-6) for name, value in trained[0].items())


class Biased(nn.Module):
    """The same scores for whatever it is given."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.linspace(-1, 1, classes))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scores.expand(len(inputs), -1)


CALIBRATED = Training(batch_size=64, learning_rate=0.1, steps=1, logit_calibration=0.5)


def trained_scores(targets: Tensor, settings: Training = CALIBRATED, classes: int = 4) -> Tensor:
    model = Biased(classes)
    default_training.train(model, Data(TensorDataset(torch.zeros(len(targets), 1), targets)), settings)
    return model.scores.detach()


def expected_scores(counts: list[float], shares: list[float]) -> Tensor:
    """One step down FedLC's loss, as the paper has it."""
    scores = torch.linspace(-1, 1, len(counts), requires_grad=True)
    shifted = torch.exp(scores - 0.5 * torch.tensor(counts) ** -0.25)
    loss = -(torch.tensor(shares) * torch.log(shifted / shifted.sum())).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    return (scores - 0.1 * scores.grad).detach()


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int32])
def test_a_calibrated_loss_is_lowered_with_the_margins_of_the_clients_own_counts(dtype: torch.dtype) -> None:
    targets = torch.tensor([0] * 2 + [1] * 30 + [2] * 32, dtype=dtype)
    torch.testing.assert_close(
        trained_scores(targets), expected_scores([2, 30, 32, 1e-8], [2 / 64, 30 / 64, 32 / 64, 0])
    )


def test_targets_that_do_not_count_have_no_part_in_a_calibration() -> None:
    targets = torch.tensor([0] * 2 + [1] * 6 + [2] * 8 + [IGNORED] * 16)
    torch.testing.assert_close(trained_scores(targets), expected_scores([2, 6, 8, 1e-8], [2 / 16, 6 / 16, 8 / 16, 0]))


def test_probabilities_are_calibrated_by_their_sums() -> None:
    targets = torch.tensor([[0.5, 0.5, 0.0, 0.0]] * 16)
    torch.testing.assert_close(trained_scores(targets), expected_scores([8, 8, 1e-8, 1e-8], [0.5, 0.5, 0, 0]))


def test_a_calibration_counts_more_than_are_looked_at_at_once() -> None:
    settings = msgspec.structs.replace(CALIBRATED, batch_size=700)
    found = trained_scores(torch.tensor([0] * 600 + [1] * 100), settings)
    torch.testing.assert_close(found, expected_scores([600, 100, 1e-8, 1e-8], [6 / 7, 1 / 7, 0, 0]))


def test_each_pixel_counts_in_a_calibration() -> None:
    scores, targets = torch.zeros(2, 3, 4), torch.tensor([[0, 0, 0, 1], [0, 0, 1, 2]])
    model = nn.Conv1d(3, 3, 1)
    settings = msgspec.structs.replace(CALIBRATED, batch_size=2)
    before = model.bias.detach().clone() if model.bias is not None else torch.empty(0)
    reference = before.clone().requires_grad_()
    margins = 0.5 * torch.tensor([5.0, 2.0, 1.0]) ** -0.25
    functional.cross_entropy((reference - margins).view(1, 3, 1).expand(2, 3, 4), targets).backward()  # type: ignore[no-untyped-call]
    default_training.train(model, Data(TensorDataset(scores, targets)), settings)
    assert reference.grad is not None
    assert model.bias is not None
    torch.testing.assert_close(model.bias.detach(), before - 0.1 * reference.grad)


def test_what_is_no_classifier_cannot_be_calibrated() -> None:
    data = Data(TensorDataset(torch.randn(4, 2), torch.rand(4)))
    with pytest.raises(TypeError, match="class numbers"):
        default_training.train(Given(), data, CALIBRATED)
    with pytest.raises(ValueError, match=r"training\.logit_calibration .* a loss\(\) or a train\(\) of its own"):
        default_training.train(Given(), data, CALIBRATED, OwnLoss(lambda model, batch: (model(batch[0]).sum(), {})))
