"""components/recipe_text.py: it reads what PyYAML reads, or refuses it."""

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from components.recipe_text import RecipeTextError, read
from tests.paths import ROOT


def by_pyyaml(text: str) -> object:
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506  (it makes nothing but texts)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").iterdir()), ids=lambda path: path.stem)
def test_the_recipes_are_read_as_pyyaml_reads_them(path: Path) -> None:
    assert read(path.read_text()) == by_pyyaml(path.read_text())


TREES = st.recursive(
    st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=20), inner, max_size=3),
    max_leaves=12,
)


@given(tree=st.dictionaries(st.text("abc:/*{}", min_size=1, max_size=20), TREES, min_size=1), flow=st.booleans())
def test_what_is_read_is_what_pyyaml_reads(tree: object, flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True, width=10_000)
    with contextlib.suppress(RecipeTextError):
        assert read(text) == by_pyyaml(text)


PIECES = st.sampled_from(
    [
        *("a", "b: ", "c:", "- ", "-", "\n", "\n  ", "\n    ", " ", "#", " # no", '"d"', "'e'", '"', "'", "|", "|-\n"),
        *(
            "[",
            "]",
            "{",
            "}",
            ", ",
            ":",
            "*",
            "&x ",
            "!",
            ">",
            "?",
            "%",
            "@",
            "---\n",
            "\t",
            "1",
            "f g",
            "s3://x/y",
            "~",
        ),
    ]
)


@given(text=st.lists(PIECES, max_size=14).map("".join))
@example("a: b: c")
@example("a:\n- b\n- c")
@example("- - a\n  - b")
@example("a: |\n  b\n\n  c\n\nd: e")
@example("a: [b, {c: d}, 'e']  # f")
def test_nothing_is_read_otherwise_than_by_pyyaml(text: str) -> None:
    text += "\n"
    try:
        found = read(text)
    except RecipeTextError:
        return
    expected = by_pyyaml(text)
    assert found == ("" if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is there already"),
        ("a:\n\tb: 1\n", "line 2: it has a tab"),
        ("a: &x 1\nb: *x\n", "line 1: '&x 1' needs quotes"),
        ("runtime: *\n", "line 1: '*' needs quotes"),
        ("a: !tag b\n", "line 1: '!tag b' needs quotes"),
        ("Script: >-\n  a\n", "line 1: '>-' needs quotes"),
        ("a: b\n  c\n", "line 2: a value of more than one line is written below a |"),
        ("a: 'b\n", "line 1: the quotes of \"'b\" don't fit"),
        ("a: [b, c\n", "line 1: '[b, c' is not closed on this line"),
        ("a:\n    b: 1\n  c: 2\n", "line 3: its indentation fits nothing above"),
        ("a\n: b", "line 1: it is no 'key: value'"),
        ("a:\n  b\n", "line 2: it is no 'key: value'"),
        ("a: b\u00a0c", "line 1: the character '\\xa0' is not for recipes"),
        ("a: 1\nb\n", "line 2: it is no 'key: value'"),
    ],
)
def test_what_is_refused_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(RecipeTextError) as refused:
        read(text)
    assert told in str(refused.value)
