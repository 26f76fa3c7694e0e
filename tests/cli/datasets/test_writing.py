"""cli/datasets/writing.py: what is written for the clients, and what is left behind when it can't be."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cli import digits
from cli.datasets import idx
from cli.datasets.dataset import Rows, Source
from cli.datasets.dividing import Request
from cli.datasets.idx import Images, ImageSet
from cli.datasets.opening import open_source
from cli.datasets.splitting import ImpossibleSplitError, parse_split
from cli.datasets.writing import OutputInUseError, SplitRecord, Written, share_out
from protocol.names import InvalidNameError
from tests.paths import ROOT


@pytest.fixture(scope="module")
def source() -> Source:
    return digits.packaged_source()


def key(images: Images) -> Counter[tuple[bytes, int]]:
    pairs = zip(images.images, images.labels, strict=True)
    return Counter((image.tobytes(), int(label)) for image, label in pairs)


def shared(source: Source, directory: Path, names: list[str], text: str = "iid", seed: int = 0) -> Written:
    return share_out(source, Request(parse_split(text), names=tuple(names), seed=seed), directory)


@pytest.mark.parametrize("text", ["iid", "labels:2", "dirichlet:0.5"])
def test_written_shards_hold_every_digit_once_and_none_of_the_holdout(
    source: Source, tmp_path: Path, text: str
) -> None:
    clients = [f"device-{number}" for number in range(8)]
    shards = shared(source, tmp_path / "shards", clients, text, seed=7)

    everything: Counter[tuple[bytes, int]] = Counter()
    for name in clients:
        train, test = (idx.read(shards.clients[name], part) for part in ("train", "t10k"))
        assert len(test.labels) == round((len(train.labels) + len(test.labels)) / 10)
        counts = Counter(train.labels.tolist()) + Counter(test.labels.tolist())
        assert {str(label): count for label, count in counts.items()} == shards.record.clients[name].labels
        for label, count in counts.items():
            assert abs(int((test.labels == label).sum()) - count / 10) < 1
        everything += key(train) + key(test)
    packaged = digits.packaged()
    assert everything == key(packaged.train)
    assert shards.holdout is not None
    assert key(idx.read(shards.holdout, "t10k")) == key(packaged.holdout)
    assert key(idx.read(shards.holdout, "train")) == key(packaged.holdout)  # for a task that wants both
    assert sorted(shards.clients) == sorted(path.name for path in (tmp_path / "shards" / "clients").iterdir())


def test_the_same_seed_writes_the_same_bytes(source: Source, tmp_path: Path) -> None:
    written = []
    for directory in (tmp_path / "one", tmp_path / "two"):
        shared(source, directory, ["a", "b"], "dirichlet:0.5", seed=3)
        written.append({file.relative_to(directory): file.read_bytes() for file in directory.rglob("*-ubyte")})
    assert len(written[0]) == 3 * 4
    assert written[0] == written[1]


def test_torchvision_reads_what_is_written(source: Source, tmp_path: Path) -> None:
    shards = shared(source, tmp_path / "shards", ["a", "b"])
    path = shards.clients["a"]
    from torchvision.datasets import mnist  # not for all to wait for that collect tests

    images = mnist.read_image_file(str(path / "train-images-idx3-ubyte"))
    labels = mnist.read_label_file(str(path / "train-labels-idx1-ubyte"))
    expected = idx.read(path, "train")
    assert np.array_equal(images.numpy(), expected.images)
    assert np.array_equal(labels.numpy(), expected.labels)


@given(st.integers(2, 40), st.integers(1, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_each_client_has_something_to_train_and_something_to_test(
    tmp_path_factory: pytest.TempPathFactory, examples: int, clients: int, seed: int
) -> None:
    assume(examples >= 2 * clients)
    labels = (np.arange(examples) % 10).astype(np.uint8)
    few = ImageSet(Path("few"), Images(np.zeros((examples, 2, 2), np.uint8), labels))
    names = [f"device-{number}" for number in range(clients)]
    directory = tmp_path_factory.mktemp("shards") / "few"
    shards = shared(Source(Path("few"), "idx", (), few, few), directory, names, seed=seed)
    for path in shards.clients.values():
        assert len(idx.read(path, "train").labels) >= 1
        assert len(idx.read(path, "t10k").labels) >= 1


def test_a_client_with_a_single_example_is_refused(source: Source, tmp_path: Path) -> None:
    few = ImageSet(Path("few"), digits.packaged().train.take(np.arange(3)))
    with pytest.raises(ImpossibleSplitError, match="client b has a single example"):
        shared(source._replace(examples=few), tmp_path / "shards", ["a", "b"])
    assert not (tmp_path / "shards").exists()


def test_a_directory_in_use_is_left_alone(source: Source, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    for directory in (tmp_path, tmp_path / "mine"):
        with pytest.raises(OutputInUseError, match=re.escape(str(directory))):
            shared(source, directory, ["a"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_names_that_cannot_be_things_or_are_said_twice_are_refused(source: Source, tmp_path: Path) -> None:
    with pytest.raises(InvalidNameError, match=re.escape("thing name '../a'")):
        shared(source, tmp_path / "shards", ["../a"])
    with pytest.raises(ImpossibleSplitError, match="twice"):
        shared(source, tmp_path / "shards", ["a", "a"])


def test_the_record_of_a_split_tells_how_to_make_it_again(source: Source, tmp_path: Path) -> None:
    written = shared(source, tmp_path / "out", ["a", "b"], "labels:6", seed=5)
    record = msgspec.json.decode((tmp_path / "out" / "split.json").read_bytes(), type=SplitRecord)
    assert record == written.record
    again = share_out(
        source, Request(parse_split(record.split), names=tuple(record.names), seed=record.seed), tmp_path / "again"
    )
    assert again.record == record
    assert record.holdout is not None
    assert (record.v, record.kind, record.holdout.examples) == (1, "idx", 1000)


class Interrupted(ImageSet):
    """Ctrl-C comes when the second client's files are written."""

    def write(self, rows: Rows, directory: Path, *, held_out: bool) -> None:
        super().write(rows, directory, held_out=held_out)
        if directory.name == "b":
            raise KeyboardInterrupt


@pytest.mark.parametrize("there", [False, True])
def test_ctrl_c_leaves_all_as_it_was(source: Source, tmp_path: Path, there: bool) -> None:
    out = tmp_path / "new" / "out"
    if there:
        out.mkdir(parents=True)
    interrupted = source._replace(examples=Interrupted(source.path, digits.packaged().train))
    with pytest.raises(KeyboardInterrupt):
        shared(interrupted, out, ["a", "b", "c"])
    assert list(tmp_path.rglob("*")) == ([out.parent, out] if there else [])


FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # what a write beyond that gives is as on a full disk
from cli.main import main
main()
"""


@pytest.mark.parametrize("name", ["data.csv", "data.parquet", "data.npz", "data.npy"])
def test_on_a_full_disk_nothing_is_left(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    match name:
        case "data.csv":
            pl.DataFrame({"x": values}).write_csv(tmp_path / name)
        case "data.parquet":
            pl.DataFrame({"x": values}).write_parquet(tmp_path / name)
        case "data.npz":
            np.savez(tmp_path / name, x=values)
        case _:
            np.save(tmp_path / name, values)
    out = tmp_path / "out"
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, "split", str(tmp_path / name), str(out), "--clients", "2"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"error: {out} can't be written: ")
    assert "File too large" in ran.stderr or "is the disk full?" in ran.stderr
    assert not out.exists()


def test_a_folder_within_the_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n2\n3\n4\n5\n")
    with pytest.raises(OutputInUseError, match="lies in"):
        shared(open_source(tmp_path), tmp_path / "out", ["a"])
    assert not (tmp_path / "out").exists()
