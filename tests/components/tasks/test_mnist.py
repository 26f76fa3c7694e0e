import gzip
import struct
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from components.client.trainer.learning import default_training
from components.client.trainer.task.loading import TaskError, load_task
from components.tasks.mnist import task
from fedgrass.task import Client, Data, Training

CLIENT = Client(thing="t", federation="f")


def write(directory: Path, part: str, examples: int, *, packed: bool = False) -> tuple[Tensor, Tensor]:
    """Writes digits as MNIST has them: each of a class of its own, by where its ink is."""
    labels = torch.arange(examples) % 10
    images = torch.randint(0, 60, (examples, 28, 28), generator=torch.Generator().manual_seed(examples))
    for image, label in zip(images, labels, strict=True):
        image[2 * int(label) : 2 * int(label) + 3] += 180
    contents = {
        f"{part}-images-idx3-ubyte": struct.pack(">IIII", 2051, examples, 28, 28) + images.byte().numpy().tobytes(),
        f"{part}-labels-idx1-ubyte": struct.pack(">II", 2049, examples) + labels.byte().numpy().tobytes(),
    }
    for name, content in contents.items():
        if packed:
            (directory / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (directory / name).write_bytes(content)
    return images, labels


def tensors(dataset: object) -> tuple[Tensor, ...]:
    assert isinstance(dataset, TensorDataset)
    return dataset.tensors


@pytest.mark.parametrize("packed", [False, True])
def test_it_reads_mnists_own_files(tmp_path: Path, packed: bool) -> None:
    images, labels = write(tmp_path, "train", 30, packed=packed)
    write(tmp_path, "t10k", 20, packed=packed)
    data = task.load_data(tmp_path, CLIENT)
    inputs, targets = tensors(data.train)
    assert inputs.shape == (30, 1, 28, 28)
    torch.testing.assert_close((inputs[:, 0] * 0.3081 + 0.1307) * 255, images.float())
    assert torch.equal(targets, labels)
    assert len(tensors(data.test)[0]) == 20


def test_without_test_files_it_holds_out_a_tenth_that_it_does_not_train_on(tmp_path: Path) -> None:
    write(tmp_path, "train", 50)
    data = task.load_data(tmp_path, CLIENT)
    assert (data.examples, len(tensors(data.test)[0])) == (45, 5)
    kept = {example.sum().item() for example in tensors(data.train)[0]}
    assert not kept & {example.sum().item() for example in tensors(data.test)[0]}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    loaded = load_task(Path(task.__file__).parent)
    with pytest.raises(TaskError, match=r"holds neither train-images-idx3-ubyte nor train-images-idx3-ubyte\.gz"):
        loaded.load_data(tmp_path, CLIENT)


@pytest.mark.parametrize("build", [task.multilayer_perceptron, task.convolutional_network])
def test_both_models_learn_digits(tmp_path: Path, build: "type[nn.Module]") -> None:
    torch.manual_seed(0)
    write(tmp_path, "train", 200)
    write(tmp_path, "t10k", 50)
    data: Data = task.load_data(tmp_path, CLIENT)
    model = build()
    default_training.train(model, data, Training(batch_size=20, learning_rate=0.05, momentum=0.9, epochs=5))
    assert default_training.evaluate(model, data)["accuracy"] > 0.9


def test_the_models_have_the_sizes_that_their_docstrings_say() -> None:
    for build in (task.multilayer_perceptron, task.convolutional_network):
        weights = sum(parameter.numel() for parameter in build().parameters())
        assert f"{weights:,} weights" in (build.__doc__ or "")
