"""cli/datasets/tables.py and delimited.py: tables as people have them, and what is said of those that can't be read."""

import csv
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cli.datasets.dataset import DatasetError, Source, UnknownColumnError, column_of
from cli.datasets.opening import open_source

ROWS = [(f"u{number % 7}", f"{number:03d}", "dog" if number % 3 else "cat") for number in range(42)]
TABLE = "user,x,label\n" + "".join(f"{','.join(row)}\n" for row in ROWS)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, content: str | bytes = TABLE) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


Put = Callable[..., Path]


def written(source: Source, directory: Path) -> bytes:
    """What a client gets that has all rows."""
    source.examples.write(np.arange(len(source.examples)), directory, held_out=False)
    (file,) = directory.iterdir()
    return file.read_bytes()


def test_a_client_s_file_has_the_source_s_own_bytes(put: Put, tmp_path: Path) -> None:
    assert written(open_source(put("data.csv")), tmp_path / "out") == TABLE.encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", b"\xef\xbb\xbf" + TABLE.encode()),
        ("windows.csv", TABLE.replace("\n", "\r\n").encode()),
        ("packed.csv.gz", gzip.compress(TABLE.encode())),
        ("packed.csv", gzip.compress(TABLE.encode())),
        ("blank-lines.csv", ("\n\n" + TABLE + "\n\n").encode()),
        ("no-end.csv", TABLE.rstrip("\n").encode()),
    ],
)
def test_how_a_file_is_wrapped_does_not_matter(put: Put, tmp_path: Path, name: str, content: bytes) -> None:
    assert written(open_source(put(name, content)), tmp_path / "out") == TABLE.encode()


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_recognized_and_kept(put: Put, tmp_path: Path, separator: str) -> None:
    text = TABLE.replace(",", separator).replace("cat", "1,5")
    source = open_source(put("data.csv", text))
    assert source.examples.columns == ("user", "x", "label")
    assert written(source, tmp_path / "out") == text.encode()


def test_values_with_separators_quotes_and_line_ends_survive(put: Put, tmp_path: Path) -> None:
    rows = [["text", "label"], ['a\nb, "c"', "1"], ['5"6', "2"], ["", "1"], [" x ", "2"]] * 1
    text = 'text,label\n"a\nb, ""c""",1\n5"6,2\n,1\n" x ",2\n'
    content = written(open_source(put("data.csv", text)), tmp_path / "out").decode()
    assert list(csv.reader(content.splitlines(keepends=True))) == rows


def test_types_that_change_in_the_middle_of_a_column_stop_nothing(put: Put, tmp_path: Path) -> None:
    text = "x,label\n" + "1,a\n" * 20_000 + "one,b\n1e5,b\n007,b\n"
    assert written(open_source(put("data.csv", text)), tmp_path / "out") == text.encode()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["10", "9", "9.0", " 9 "], ("9", "10")),
        (["007", "7"], ("007", "7")),
        (["9007199254740993", "9007199254740992"], ("9007199254740992", "9007199254740993")),
        (["b", "a", ""], ("a", "b")),
        (["True", "False"], ("False", "True")),
        (["1", "x"], ("1", "x")),
        (["1", "nan", "2"], ("1", "2")),
    ],
)
def test_labels_are_texts_or_whole_numbers(put: Put, values: list[str], expected: tuple[str, ...]) -> None:
    text = "z,label\n" + "".join(f"1,{value}\n" for value in values)
    column = open_source(put("data.csv", text)).examples.column("label")
    assert column.values == expected
    assert [column.values[code] if code >= 0 else "" for code in column.codes][: len(expected)]


def test_a_target_to_predict_is_no_label(put: Put) -> None:
    text = "x,y\n" + "".join(f"{number},{number / 7}\n" for number in range(50))
    examples = open_source(put("data.csv", text)).examples
    assert examples.label is None
    assert examples.column("y").fractional


def test_a_label_of_almost_as_many_values_as_rows_is_none(put: Put) -> None:
    text = "x,target\n" + "".join(f"{number},{number * 1000}\n" for number in range(500))
    assert open_source(put("data.csv", text)).examples.label is None


@pytest.mark.parametrize("name", ["label", "Label", "class", "TARGET", "y"])
def test_the_usual_names_of_labels_are_known(put: Put, name: str) -> None:
    assert open_source(put("data.csv", TABLE.replace("label", name))).examples.label == name


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [1, 2, None] * 4, "x": [[1.5, 2.5]] * 12, "label": [True, False, True] * 4})
    frame.write_parquet(tmp_path / "data.parquet")
    source = open_source(tmp_path / "data.parquet")
    assert source.examples.column("label").values == ("false", "true")
    assert source.examples.column("user").codes.tolist()[:3] == [0, 1, -1]
    written(source, tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out" / "data.parquet").equals(frame)


def test_a_folder_of_tables_is_one_and_each_row_knows_its_file(put: Put, tmp_path: Path) -> None:
    put("all/north/a.csv"), put("all/south/b.csv", TABLE.replace(",", ";")), put("all/.DS_Store", b"\0")
    (tmp_path / "all" / "gone.csv").symlink_to(tmp_path / "nowhere")
    put("all/README.md", "about")
    examples = open_source(tmp_path / "all").examples
    assert len(examples) == 84
    assert examples.column("file").values == ("a", "b")
    assert examples.column("folder").values == ("north", "south")
    (note,) = examples.notes
    assert "gone.csv: a link to nothing" in note
    assert "README.md" in note
    assert ".DS_Store" not in note


def test_files_of_one_name_are_told_apart_by_their_folders(put: Put, tmp_path: Path) -> None:
    put("all/north/data.csv"), put("all/south/data.csv")
    assert open_source(tmp_path / "all").examples.column("file").values == ("north/data", "south/data")


def test_columns_may_come_in_another_order_in_another_file(put: Put, tmp_path: Path) -> None:
    put("all/a.csv", "x,label\n1,a\n")
    put("all/b.csv", "label,x\nb,2\n")
    assert written(open_source(tmp_path / "all"), tmp_path / "out") == b"x,label\n1,a\n2,b\n"


def test_a_file_whose_name_is_no_text_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    for name in (b"caf\xe9.csv", b"b.csv"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_text(TABLE)
    assert len(open_source(folder).examples) == 84


def test_what_is_empty_is_told(put: Put) -> None:
    notes = open_source(put("data.csv", "x,label\n1,a\n,b\n\n,\n2,\n")).examples.notes
    assert notes == (
        "2 rows without any value left out",
        "empty values: x 1, label 1; load_data of task.py will meet them",
    )


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("data.csv", "", "is empty: it needs a line with the columns' names"),
        ("data.csv", " \n\n", "is empty: it needs a line with the columns' names"),
        ("data.csv", "a,b\n", "has no rows below its columns' names"),
        ("data.csv", "a,b\n,\n,\n", "has no rows below its columns' names"),
        ("data.csv", "1.5,2,0\n1,2,3\n", "begins with numbers (1.5,2,0...): add a first line with the columns' names"),
        ("data.csv", "a,b,a\n1,2,3\n", "has two columns 'a'"),
        ("data.csv", TABLE + "u1,5,dog,9\n", "data.csv, line 44: 4 values for 3 columns"),
        ("data.csv", TABLE + 'u1,"5,dog\nu2,6,dog\n', "data.csv, line 44: unexpected end of data; look for a quote"),
        ("data.csv", TABLE.encode() + b"M\xfcller,1,dog\n", "data.csv, line 44: no UTF-8; if it is in Latin-1"),
        ("data.csv", b"M\xfcller,x\n1,2\n", "data.csv, line 1: no UTF-8"),
        ("data.csv", TABLE.encode("utf-16"), "no CSV file in UTF-8 (maybe it is in UTF-16"),
        ("data.csv", b"a,b\n1,\0\n", "no CSV file in UTF-8"),
        ("data.csv", "a,b\r1,2\r", "lines that end as on Macs of old"),
        ("data.csv.gz", gzip.compress(TABLE.encode())[:-9], "can't be read"),
        ("data.parquet", b"PAR1no parquetPAR1", "can't be read as Parquet"),
        ("data.parquet", b"", "can't be read as Parquet"),
    ],
)
def test_what_can_t_be_read_is_named_with_the_remedy(put: Put, name: str, content: str | bytes, told: str) -> None:
    with pytest.raises(DatasetError) as caught:
        open_source(put(name, content))
    assert str(caught.value).startswith(str(put(name, content)))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("user,z,label\n1,2,3\n", "lacks 'x' and has 'z'"),
        ("user,label\n1,2\n", "lacks 'x', unlike"),
        ("user,x,label,z\n1,2,3,4\n", "has 'z', unlike"),
    ],
)
def test_files_of_other_columns_are_refused_by_name(put: Put, tmp_path: Path, content: str, told: str) -> None:
    put("all/a.csv"), put("all/b.csv", content)
    with pytest.raises(DatasetError, match=told) as caught:
        open_source(tmp_path / "all")
    assert str(caught.value).startswith(f"{tmp_path}/all/b.csv")


def test_files_of_other_types_are_refused_by_name(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"a": [1.5]}).write_parquet(tmp_path / "2.parquet")
    with pytest.raises(DatasetError, match="column 'a' has type Float64, and Int64 in"):
        open_source(tmp_path)


def test_a_column_that_is_not_there_is_told_with_the_nearest_and_all_others(put: Put) -> None:
    examples = open_source(put("data.csv")).examples
    with pytest.raises(UnknownColumnError) as caught:
        column_of(examples, "Usr")
    assert str(caught.value).endswith("has no column 'Usr'; did you mean 'user'? (its columns: 'user', 'x', 'label')")


def test_of_many_or_long_columns_some_are_told(put: Put) -> None:
    names = ["x" * 10_000, *(f"c{number}" for number in range(3000))]
    examples = open_source(put("data.csv", f"{','.join(names)}\n{'1,' * 3000}1\n")).examples
    with pytest.raises(UnknownColumnError) as caught:
        column_of(examples, "nothing-like-it")
    assert len(str(caught.value)) < 1000
    assert "and 2981 more" in str(caught.value)


def test_lists_are_no_values_to_split_by(tmp_path: Path) -> None:
    pl.DataFrame({"x": [[1], [2]]}).write_parquet(tmp_path / "data.parquet")
    with pytest.raises(DatasetError, match="column 'x' has no plain values"):
        open_source(tmp_path / "data.parquet").examples.column("x")
