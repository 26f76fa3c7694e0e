"""cli/datasets/opening.py: what is said of sources that nothing reads."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from cli.datasets.dataset import DatasetError
from cli.datasets.opening import FORMATS, open_source


def refusal(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        open_source(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("data.xlsx", "save the sheet as CSV, UTF-8"),
        ("data.jsonl", "write it as CSV or Parquet"),
        ("data.pkl", "it could run code when it is read, so it never is"),
        ("data.pt", "write its tensors with numpy.savez"),
        ("data.h5", "write its arrays with numpy.savez"),
        ("data.tar.gz", "unpack it first"),
        ("DATA.ZIP", "unpack it first"),
        ("data.txt", "give it the ending .csv"),
        ("data", "write it as one of these"),
        ("train-images-idx3-ubyte", "name its folder"),
    ],
)
def test_each_other_format_has_its_remedy(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    told = refusal(tmp_path / name)
    assert FORMATS in told
    assert remedy in told


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    assert "does not exist" in refusal(tmp_path / "link.csv")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    assert "holds no data: it is empty" in refusal(tmp_path)


def test_a_folder_without_data_is_told_by_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "notes.txt").touch()
    assert "holds no data (only notes.txt)" in refusal(tmp_path)


def test_a_folder_of_several_kinds_is_refused_by_an_example_of_each(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    np.save(tmp_path / "b.npy", np.zeros(3))
    assert "data of several kinds, csv (a.csv) and npy (b.npy)" in refusal(tmp_path)


def test_a_link_to_a_file_is_as_good_as_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    assert len(open_source(tmp_path / "b.csv").examples) == 1


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "npz"])
def test_files_to_train_on_and_for_tests_are_two_parts(tmp_path: Path, ending: str) -> None:
    for name, count in (("Train", 8), ("test", 3)):
        if ending == "npz":
            np.savez(tmp_path / f"{name}.npz", x=np.zeros((count, 2)), y=np.arange(count) % 2)
        else:
            content = ("x,y\n" + "1,0\n" * count).encode()
            (tmp_path / f"{name}.{ending}").write_bytes(gzip.compress(content) if ending == "csv.gz" else content)
    source = open_source(tmp_path)
    assert source.holdout is not None
    assert (len(source.examples), len(source.holdout), len(source.files)) == (8, 3, 2)


def test_a_file_for_tests_without_labels_is_no_holdout(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("x,y\n1,0\n")
    (tmp_path / "test.csv").write_text("x\n1\n")
    told = refusal(tmp_path)
    assert "has other columns than" in told
    assert "('y'): name" in told
