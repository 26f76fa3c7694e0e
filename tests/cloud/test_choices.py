"""Where settings let one choose among kinds, each kind is looked up in one place: nothing else compares its name."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from cloud.settings import RuleName
from tests.paths import ROOT

CHOICES = {"averaging.rule": (get_args(RuleName), "cloud/averaging/rules/__init__.py")}
"""What can be chosen, and where it is looked up."""

PRODUCT = ("cli", "cloud", "components", "fedgrass", "operations", "protocol", "sandbox")


def compared(tree: ast.AST) -> Iterator[str]:
    """The texts that code compares with, matches, or looks up in a display of them."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                within: list[ast.AST] = [left, *others]
            case ast.MatchValue(value=value):
                within = [value]
            case ast.Dict(keys=keys):
                within = [key for key in keys if key is not None]
            case _:
                continue
        for one in within:
            for constant in ast.walk(one):
                if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                    yield constant.value


def sources() -> Iterator[Path]:
    for room in PRODUCT:
        yield from (ROOT / room).rglob("*.py")


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_is_compared_where_it_is_looked_up_and_nowhere_else(choice: str) -> None:
    choices, place = CHOICES[choice]
    names = set(choices) - {"custom"}  # which each choice has
    found = {
        str(path.relative_to(ROOT)): sorted(texts)
        for path in sources()
        if (texts := names.intersection(compared(ast.parse(path.read_text()))))
    }
    assert found == {place: sorted(names)}


@pytest.mark.parametrize(
    "code",
    [
        'settings.rule == "krum"',
        'settings.rule in ("krum", "multi_krum")',
        '"krum" != rule',
        'kept = {"krum": 1}[rule]',
        'match rule:\n    case "krum" | "mean":\n        pass',
    ],
)
def test_ways_to_compare_a_name_are_found(code: str) -> None:
    assert "krum" in set(compared(ast.parse(code)))
