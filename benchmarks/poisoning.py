"""What hostile clients do to a model, by averaging rule: real digits, real training, the averager's own arithmetic.

`python -m benchmarks.poisoning` trains 40 clients, of which 8 are hostile, with each rule and against each attack, and
prints the accuracy on digits that no client has. All updates go through the averager's inspection.
"""

import sys
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from cli import digits
from cli.datasets.idx import Images
from cloud.averager.responses.inspection import inspect
from cloud.settings import Averaging
from components.client.trainer.learning import default_training
from components.client.trainer.model import state_dict
from fedgrass.task import Data
from protocol.encodings import update_layout
from protocol.local_steps import count_steps
from protocol.messages import MAX_INTEGER, Training
from protocol.names import UpdateName
from protocol.tensors import parse_header
from sandbox.example_updates import report, round_record
from simulation.averaging import Round, accepted

CLIENTS = 40
HOSTILE = frozenset(range(0, CLIENTS, 5))
TRAINING = Training(epochs=2, batch_size=20, learning_rate=0.1)

RULES: dict[str, Averaging] = {
    "weighted": Averaging(rule="weighted", normalize_steps=True),
    "mean": Averaging(rule="mean", normalize_steps=True),
    "mean, clipped": Averaging(rule="mean", normalize_steps=True, clip_norm=0.5),
    "trimmed_mean": Averaging(rule="trimmed_mean", trim=0.2),
    "median": Averaging(rule="median"),
    "multi_krum": Averaging(rule="multi_krum", byzantine=len(HOSTILE)),
}


class Attack(NamedTuple):
    """What a hostile client does: it trains on wrong labels, multiplies its update, makes claims of the largest integer
    that there is."""

    name: str
    flips_labels: bool = False
    factor: float = 1.0
    claims: bool = False


ATTACKS = (
    Attack("none"),
    Attack("sign flip x 10", factor=-10.0),
    Attack("label flip", flips_labels=True),
    # Scaled so that a mean of all is what the hostile clients have (Bagdasaryan et al., 2020, section 4.2).
    Attack("model replacement", flips_labels=True, factor=CLIENTS / len(HOSTILE)),
    Attack("claims of 2^53", flips_labels=True, claims=True),
)


class Shares(NamedTuple):
    """The data of each client, the same with wrong labels, and what the global model is judged on."""

    right: list[Data]
    wrong: list[Data]
    holdout: Data


def main(rounds: Annotated[int, typer.Option(min=1, help="Of each run.")] = 20) -> None:
    """Print the accuracy after the last round, by rule and attack, as a table and as JSON."""
    torch.set_num_threads(1)
    shares = all_shares()
    found: dict[str, dict[str, float]] = {}
    for name, settings in RULES.items():
        found[name] = {attack.name: accuracy(settings, attack, shares, rounds) for attack in ATTACKS}
        print(f"{name:14} " + "  ".join(f"{attack}: {value:.3f}" for attack, value in found[name].items()))
    result = {"clients": CLIENTS, "hostile": len(HOSTILE), "rounds": rounds, "accuracy": found}
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


def all_shares() -> Shares:
    """The digits, shared among the clients."""
    source = digits.packaged()
    order = np.random.default_rng(0).permutation(len(source.train.labels))
    parts = [source.train.take(part) for part in np.array_split(order, CLIENTS)]
    return Shares(
        [_data(part, part.labels) for part in parts],
        [_data(part, 9 - part.labels) for part in parts],
        _data(source.holdout, source.holdout.labels),
    )


def _data(of: Images, labels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> Data:
    dataset = TensorDataset(torch.from_numpy(of.images).float() / 255, torch.from_numpy(labels.astype(np.int64)))
    return Data(dataset, dataset)


def accuracy(settings: Averaging, attack: Attack, shares: Shares, rounds: int) -> float:
    """What the model that so many rounds have made gets right."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 64), nn.ReLU(), nn.Linear(64, 10))
    file = state_dict.dump_model(model, "f")
    for number in range(1, rounds + 1):
        file = _next_model(model, file, settings, attack, shares, number)
    _load(model, file)
    return default_training.evaluate(model, shares.holdout)["accuracy"]


def _next_model(
    model: nn.Module, file: bytes, settings: Averaging, attack: Attack, shares: Shares, number: int
) -> bytes:
    layout = update_layout(parse_header(file, len(file)), "float32")
    updates, norms = [], {}
    for client in range(CLIENTS):
        is_hostile = client in HOSTILE and attack != ATTACKS[0]
        data = shares.wrong[client] if is_hostile and attack.flips_labels else shares.right[client]
        base = _load(model, file)
        default_training.train(model, data, msgspec.structs.replace(TRAINING, seed=1000 * number + client))
        floats, integers = state_dict.delta(model, base, layout)
        name = UpdateName("f", 1, f"t{client:02d}")
        claims = is_hostile and attack.claims
        about = report(
            name.thing,
            examples=MAX_INTEGER if claims else data.examples,
            steps=MAX_INTEGER if claims else count_steps(TRAINING, data.examples),
        )
        factor = np.float32(attack.factor if is_hostile else 1.0)
        update, _ = state_dict.dump_change((floats * factor, integers), layout, about)
        norms[name.thing] = inspect(update, name, round_record(name.thing), layout).norm
        updates.append(update)
    return Round(file, accepted(updates, norms=norms), settings, TRAINING).average()["model"]


def _load(model: nn.Module, file: bytes) -> dict[str, Tensor]:
    header = parse_header(file, len(file))
    values = state_dict.views(header, bytearray(file))
    state_dict.load(model, header, values)
    return values


if __name__ == "__main__":
    typer.run(main)
