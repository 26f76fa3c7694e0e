"""cli/settings/yaml_file.py: YAML as people write it."""

import math
from pathlib import Path
from typing import Any

import pytest

from cli.settings.parsing import validate
from cli.settings.yaml_file import InvalidYamlError, YamlFile


def read(directory: Path, content: str | bytes) -> YamlFile:
    path = directory / "federation.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return YamlFile(path)


def refusal(directory: Path, content: str | bytes) -> tuple[int | None, str]:
    with pytest.raises(InvalidYamlError) as refused:
        read(directory, content)
    return refused.value.line, str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5e-4", 0.0005),
        ("1E5", 100000.0),
        ("1.5e+3", 1500.0),
        ("+1e3", 1000.0),
        ("-2.5", -2.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1_000", 1000),
        ("1_000.5", 1000.5),
        ("010", 10),
        ("-7", -7),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ('"0.1"', "0.1"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("2024-01-01", "2024-01-01"),
        ("80%", "80%"),
        ("yes", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("[1, 2.0]", [1, 2.0]),
    ],
)
def test_values_are_what_they_look_like(tmp_path: Path, text: str, value: Any) -> None:
    found = read(tmp_path, f"a: {text}\n").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_an_empty_file_is_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "").value is None
    assert read(tmp_path, "# only a comment\n").value is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_unicode_encoding_and_line_end_is_read(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, "name: größe\r\nrounds: 3\r\n".encode(encoding)).value == {"name": "größe", "rounds": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("name:\tdigits\nrounds: \t3\t# of them\n", {"name": "digits", "rounds": 3}),
        ("a\t:\t{x:\t1,\ty: 2}\t\n", {"a": {"x": 1, "y": 2}}),
        ("a:\t\n  -\t1\n\t\n\t# a comment\n  - \t2\n", {"a": [1, 2]}),
        ("a: {\n\tx: 1,\n\ty: [1,\n\t\t2]\n}\n", {"a": {"x": 1, "y": [1, 2]}}),
        ("a: &b\t1\nc: *b\t\n", {"a": 1, "c": 1}),
        ("a: 'x\ty'\n\t", {"a": "x\ty"}),
    ],
)
def test_tabs_may_separate_what_stands_on_a_line(tmp_path: Path, text: str, value: object) -> None:
    assert read(tmp_path, text).value == value


def test_anchors_and_merge_keys_are_read_and_a_mappings_own_fields_win(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\nd: {<<: [*a, {z: 4}]}\n"
    value = read(tmp_path, text).value
    assert value["b"] == {"y": 3, "x": 1}
    assert value["c"] == {"x": 1, "y": 2}
    assert value["d"] == {"x": 1, "y": 2, "z": 4}


def test_aliases_of_aliases_take_no_more_time_than_they_have_lines(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 60)]
    value = read(tmp_path, "\n".join([*lines, "rounds: *a59"])).value
    assert value["a0"] == ["x"]
    assert any(str(problem).startswith("rounds: [[[[") for problem in validate(value)[1])
    lines = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 60)]
    assert read(tmp_path, "\n".join(lines)).value["a59"] == {"x": 1}


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a is here twice, first on line 1: keep one of them"),
        ("a:\n  b: 1\n  b: 1\n", 3, "b is here twice, first on line 2"),
        ("{a: 1, a: 2}", 1, "a is here twice"),
        ('a: 1\n"a": 2\n', 2, "a is here twice, first on line 1"),
        ("a: 1\n3: 4\n", 2, "3 is no name of a field"),
        ("true: 4\n", 1, "true is no name of a field"),
        ("? [a, b]\n: 1\n", 1, "what stands before the colon is no name of a field"),
        ("a:\n\tb: 1\n", 2, "a tab"),
        ("a: 1\n\tb: 1\n", 2, "a tab"),
        ("a:\n  b: 1\n  \tc: 1\n", 3, "a tab"),
        ("a:\n  - 1\n\t- 2\n", 3, "a tab"),
        ("a:\n  -\tb: 1\n    c: 2\n", 2, "in the middle of something"),
        ("a: 1\n---\nb: 2\n", 2, "another document begins"),
        ("a: &x [*x]\n", 1, "stands for what it is itself a part of"),
        ("a: *x\n", 1, "undefined alias"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "is no kind of value"),
        ("a: !secret x\n", 1, "!secret is no kind of value"),
        ("a: !!int ten\n", 1, "is no kind of value"),
        ("a: {<<: 3}\n", 1, "<< needs the alias of a mapping"),
        ("a: [1\n", 1, "not closed by a ]"),
        ("a: 'x\n", 1, "a quote is not closed"),
        ("a: @x\n", 1, "needs quotes"),
        ("a: b: c\n", 1, "in the middle of something"),
        ("a: 1\n\u00a0\u00a0b: 2\n", 2, "no-break space"),
        ("rounds:3\nname: f\n", 1, "a colon and a space"),
        ("a:\n    b: 1\n  c: 2\n", 3, "in the same column"),
        ("a: " + "9" * 5000, 1, "is too long for a number"),
        ("a: " + "[" * 100_000, None, "nested too deeply"),
        (b"a: 1\nb: caf\xe9\n", 2, "not in UTF-8"),
        (b"a: 1\nb: \x00\n", 2, "can't be in YAML"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_yaml_of_settings_is_told_with_its_line(
    tmp_path: Path, text: str | bytes, line: int | None, told: str
) -> None:
    found = refusal(tmp_path, text)
    assert found[0] == line
    assert told in found[1]


def test_the_line_of_a_field_is_found_through_aliases_and_merges(tmp_path: Path) -> None:
    file = read(tmp_path, "a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\nc: [1]\n")
    assert [file.line_of(path) for path in ((), ("a",), ("b", "x"), ("b", "y"), ("b", "z"), ("c", "d"), ("e",))] == [
        None,
        1,
        2,
        5,
        3,
        6,
        None,
    ]
