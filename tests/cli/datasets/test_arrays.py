"""cli/datasets/arrays.py: arrays of numpy as people have them, and what is said of those that can't be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.datasets.dataset import DatasetError, Source
from cli.datasets.opening import open_source

INPUTS, LABELS = np.arange(120.0).reshape(30, 4), np.arange(30) % 3


def written(source: Source, directory: Path, rows: list[int]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays that a client gets, by the names of its files or within its file."""
    source.examples.write(np.array(rows), directory, held_out=False)
    return dict(_arrays(directory))


def _arrays(directory: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for file in directory.iterdir():
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.lib.npyio.NpzFile):
            with content:
                yield from content.items()
        else:
            yield file.name, content


def test_a_client_gets_the_same_arrays_with_its_own_examples(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", inputs=INPUTS, labels=LABELS)
    source = open_source(tmp_path / "data.npz")
    assert (len(source.examples), source.examples.label) == (30, "labels")
    arrays = written(source, tmp_path / "out", [3, 5])
    assert np.array_equal(arrays["inputs"], INPUTS[[3, 5]])
    assert arrays["labels"].tolist() == [0, 2]
    assert arrays["labels"].dtype == LABELS.dtype


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        (LABELS, ("0", "1", "2")),
        (LABELS.astype(np.float32), ("0", "1", "2")),
        (LABELS[:, np.newaxis], ("0", "1", "2")),
        (np.eye(3)[LABELS], ("0", "1", "2")),
        (np.array(["a", "b", "c"])[LABELS], ("a", "b", "c")),
        (np.array([b"a", b"b", b"c"])[LABELS], ("a", "b", "c")),
        (LABELS > 0, ("False", "True")),
    ],
)
def test_labels_have_many_forms(tmp_path: Path, labels: "np.ndarray[Any, Any]", values: tuple[str, ...]) -> None:
    np.savez(tmp_path / "data.npz", x=INPUTS, y=labels)
    examples = open_source(tmp_path / "data.npz").examples
    assert examples.label == "y"
    assert examples.column("y").values == values


def test_what_has_no_value_belongs_to_nobody(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=INPUTS, person=np.array(["", "a", "b"])[LABELS], y=np.where(LABELS, 1.0, np.nan))
    examples = open_source(tmp_path / "data.npz").examples
    for column in ("person", "y"):
        assert ((examples.column(column).codes < 0) == (LABELS == 0)).all()


def test_numbers_to_predict_are_no_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=INPUTS, y=np.linspace(0, 1, 30))
    assert open_source(tmp_path / "data.npz").examples.label is None


@pytest.mark.parametrize("form", ["{}_{}", "{1}_{0}"])
def test_arrays_for_tests_are_the_source_s_own_holdout(tmp_path: Path, form: str) -> None:
    parts = {"train": 30, "val": 6, "test": 12}
    arrays = {form.format("x", part): INPUTS[:size] for part, size in parts.items()}
    arrays |= {form.format("y", part): LABELS[:size] for part, size in parts.items()}
    np.savez(tmp_path / "data.npz", allow_pickle=False, **arrays)
    source = open_source(tmp_path / "data.npz")
    assert source.holdout is not None
    assert (len(source.examples), len(source.holdout)) == (36, 12)
    assert set(written(source, tmp_path / "out", [0])) == {"x", "y"}


def test_files_side_by_side_are_arrays_of_the_same_examples(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "inputs.npy", INPUTS)
    np.save(tmp_path / "in" / "labels.npy", LABELS)
    source = open_source(tmp_path / "in")
    assert source.examples.label == "labels"
    arrays = written(source, tmp_path / "out", [3, 5])
    assert np.array_equal(arrays["inputs.npy"], INPUTS[[3, 5]])
    assert arrays["labels.npy"].tolist() == [0, 2]


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_files_of_one_shape_are_parts_and_each_example_knows_its_own(tmp_path: Path, ending: str) -> None:
    for name, part in (("north", INPUTS[:10]), ("south", INPUTS[10:])):
        if ending == "npy":
            np.save(tmp_path / name, part)
        else:
            np.savez(tmp_path / name, data=part)
    examples = open_source(tmp_path).examples
    assert examples.column("file").codes.tolist() == [0] * 10 + [1] * 20


def test_a_structured_array_is_a_table(tmp_path: Path) -> None:
    rows = [(number % 2, number / 3, "ab"[number % 2]) for number in range(20)]
    np.save(tmp_path / "data.npy", np.array(rows, dtype=[("user", "i4"), ("x", "f4"), ("label", "U1")]))
    source = open_source(tmp_path / "data.npy")
    assert source.examples.columns == ("user", "x", "label")
    assert written(source, tmp_path / "out", [1])["data.npy"]["label"].tolist() == ["b"]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=INPUTS)
    for place in ("one", "two"):
        written(open_source(tmp_path / "data.npz"), tmp_path / place, [1, 2])
    assert (tmp_path / "one" / "data.npz").read_bytes() == (tmp_path / "two" / "data.npz").read_bytes()


def refusal(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        open_source(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": INPUTS, "y": LABELS[:7]}, "first dimensions, which count the examples, are not equal: x [30, 4], y [7]"),
        ({"x": np.zeros((0, 3))}, "holds no examples in x"),
        ({"x": INPUTS, "mean": np.float64(3)}, "holds no examples in mean"),
        ({}, "holds no examples"),
        ({"x_train": INPUTS, "x_test": INPUTS[:, :3]}, "an example of x has the shape [3]"),
        ({"x_train": INPUTS, "x_test": INPUTS, "y_train": LABELS}, "all parts need the same"),
        ({"x": np.array([{}, 1], dtype=object)}, "holds Python objects, which could run code"),
    ],
)
def test_what_an_npz_file_may_not_have_is_named(tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    assert refusal(tmp_path / "data.npz").startswith(str(tmp_path / "data.npz"))
    assert told in refusal(tmp_path / "data.npz")


@pytest.mark.parametrize("name", ["data.npz", "data.npy"])
@pytest.mark.parametrize("keep", [0, 3, 70, 300])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, keep: int) -> None:
    path = tmp_path / name
    if name == "data.npz":
        np.savez(path, x=INPUTS)
    else:
        np.save(path, INPUTS)
    path.write_bytes(path.read_bytes()[:keep])
    assert refusal(path).startswith(f"{path} can't be read")


def test_pickled_objects_are_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "could run code" in refusal(tmp_path / "data.npy")


def test_arrays_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((20, 3)))
    np.save(tmp_path / "b.npy", np.zeros((10, 4)))
    assert "a.npy [20, 3], b.npy [10, 4]" in refusal(tmp_path)


def test_files_with_other_arrays_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=INPUTS)
    np.savez(tmp_path / "b.npz", z=INPUTS)
    assert refusal(tmp_path).startswith(f"{tmp_path}/b.npz has the arrays z; {tmp_path}/a.npz has x")
