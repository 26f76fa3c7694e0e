"""What a task does that does not say otherwise: train by SGD, and evaluate, what an objective measures."""

import math

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from components.client.trainer.learning.batches import batches
from components.client.trainer.learning.classification import IGNORED
from components.client.trainer.learning.isolation import without_trace
from components.client.trainer.learning.objectives import CLASSIFICATION, Objective, trained_objective
from components.client.trainer.learning.sgd import Sgd
from components.client.trainer.model.chosen_tensors import set_to_training
from components.client.trainer.model.placing import CPU, place
from components.client.trainer.model.state_dict import DivergedError
from fedgrass.task import Data, Metrics, Training, checkpoint, checkpoint_due, report_progress, resume
from protocol.local_steps import limits

EVALUATION_BATCH = 512


def train(model: nn.Module, data: Data, settings: Training, objective: Objective = CLASSIFICATION) -> Metrics:
    """Trains the model in place by SGD (see `Sgd`); stops after `settings.epochs` or `settings.steps`, whichever comes
    first, after one epoch if neither is given. The order of the examples depends on `settings.seed` alone. Goes on from
    a checkpoint, with the same bits as if it had not been cut off. A GPU is used if there is one; the model is back on
    the CPU then.

    Returns "loss" (mean over what counts in the last epoch) and "steps".

    Raises:
        TypeError, TaskError: the objective cannot be measured on these examples.
        ValueError: no target counts, or the settings ask for what the objective has not.
        DivergedError: the loss is not a finite number.
    """
    device = best_device()
    place(model, device)
    set_to_training(model)
    try:
        return _train(model, data, settings, trained_objective(objective, data.train, settings), device)
    finally:
        if device != CPU:
            model.cpu()


def _train(model: nn.Module, data: Data, settings: Training, objective: Objective, device: torch.device) -> Metrics:
    epochs, steps = limits(settings)
    sgd = Sgd(model, settings)
    generator = torch.Generator().manual_seed(settings.seed)
    epoch = 1
    batch = step = seen = counted = 0
    total = torch.zeros((), device=device)
    saved = resume(model)
    if saved is not None:
        epoch, batch, step, seen, counted = (
            saved.values[name] for name in ("epoch", "batch", "step", "seen", "counted")
        )
        generator.set_state(saved.tensors["order"])
        total = saved.tensors["total"].to(device)
        sgd.load(saved.tensors)

    def save(order: Tensor) -> None:
        checkpoint(
            model,
            values={"epoch": epoch, "batch": batch, "step": step, "seen": seen, "counted": counted},
            tensors={"order": order, "total": total} | sgd.state(),
        )

    while True:
        order = generator.get_state()
        for examples in batches(data.train, settings.batch_size, generator, batch):
            batch += 1
            if examples.size == 1 < settings.batch_size and seen:
                continue  # a last batch of one: batch normalization cannot train on it
            measured = objective.measure(model, examples, device)
            sgd.step(measured.loss)
            if measured.counted:
                total += measured.loss.detach() * measured.counted
            counted += measured.counted
            seen += examples.size
            step += 1
            if step == steps:
                break
            if checkpoint_due(step):
                save(order)
        if counted == 0:
            raise ValueError(
                f"no target of the training set counts: all of epoch {epoch} are {IGNORED}, or there are none"
            )
        mean = total.item() / counted
        report_progress(epoch=epoch, epochs=settings.epochs, step=step)
        if not math.isfinite(mean):
            raise DivergedError(f"training diverged: the loss is {mean} in epoch {epoch}, at step {step}")
        if step == steps or epoch == epochs:
            return {"loss": mean, "steps": float(step)}
        epoch += 1
        batch = seen = counted = 0
        total = torch.zeros((), device=device)
        if checkpoint_due(step, epoch_ended=True):
            save(generator.get_state())


def evaluate(model: nn.Module, data: Data, objective: Objective = CLASSIFICATION) -> Metrics:
    """The mean "loss" on the test set, and the objective's other metrics, over all that counts; nothing if that is
    nothing. A GPU is used if there is one. Afterwards the model is where and in the mode that it was, and nothing has
    been drawn from the random number generators.

    Raises:
        TypeError, TaskError: the objective cannot be measured on these examples.
    """
    assert data.test is not None  # noqa: S101
    device = best_device()
    sums: dict[str, float] = {"loss": 0.0}
    counted = 0
    with without_trace(model), torch.no_grad():
        place(model, device)
        for examples in batches(data.test, EVALUATION_BATCH, None):
            measured = objective.measure(model, examples, device)
            if measured.counted:
                sums["loss"] += measured.loss.item() * measured.counted
                for name, value in measured.sums().items():
                    sums[name] = sums.get(name, 0.0) + value
                counted += measured.counted
    return {name: value / counted for name, value in sums.items()} if counted else {}


def validate(model: nn.Module, data: Data, objective: Objective = CLASSIFICATION) -> None:
    """Passes if the model can be measured on the first example of the training and of the test set.

    Raises:
        TypeError, ValueError, TaskError: it can't; the text names the example or the task's own line.
    """
    for name, dataset in (("training", data.train), ("test", data.test)):
        if dataset is not None and len(dataset):  # type: ignore[arg-type]
            first = next(batches(Subset(dataset, [0]), 1, None))
            with without_trace(model):
                objective.try_out(model, first, name)


def best_device() -> torch.device:
    """Where the default training and evaluation compute: on the GPU, if torch can use one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
