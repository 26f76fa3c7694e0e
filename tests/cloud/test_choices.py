"""Where settings let one choose among kinds, each kind is looked up in one place: nothing else compares its name."""

import ast
import functools
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from cloud.settings import CompletionName, PacingPolicyName, RuleName, Schedule, SelectionPolicyName, ServerOptimizer
from tests.paths import ROOT

CHOICES = {
    "selection.policy": (get_args(SelectionPolicyName), "cloud/initiator/selection/__init__.py"),
    "completion": (get_args(CompletionName), "cloud/state/completion.py"),
    "averaging.rule": (get_args(RuleName), "cloud/averaging/rules/__init__.py"),
    "pacing.policy": (get_args(PacingPolicyName), "cloud/averager/round/pacing.py"),
}
"""What can be chosen, and where it is looked up."""

PRODUCT = ("cli", "cloud", "components", "fedgrass", "operations", "protocol", "sandbox")


@functools.cache
def compared(tree: ast.AST) -> frozenset[str]:
    """The texts that code compares with, matches, or looks up in a display of them."""
    return frozenset(_compared(tree))


def _compared(tree: ast.AST) -> Iterator[str]:
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


@functools.cache
def subjects(tree: ast.AST) -> set[str]:
    """The attributes that code compares with a text, or matches."""
    found: set[ast.expr] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others) if any(map(_is_text, (left, *others))):
                found |= {left, *others}
            case ast.Match(subject=subject):
                found.add(subject)
    return {one.attr for one in found if isinstance(one, ast.Attribute)}


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def classes(tree: ast.AST) -> set[str]:
    """The classes that code matches values with, or asks isinstance for."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.MatchClass(cls=ast.Name(id=name)):
                found.add(name)
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                found |= {one.id for one in ast.walk(kinds) if isinstance(one, ast.Name)}
    return found


@functools.cache
def texts() -> dict[str, str]:
    """The product's modules, by their paths."""
    return {str(path.relative_to(ROOT)): path.read_text() for room in PRODUCT for path in (ROOT / room).rglob("*.py")}


parsed = functools.cache(ast.parse)


def with_words(*words: str) -> Iterator[tuple[str, ast.AST]]:
    """The modules in whose text one of these is, by their paths."""
    return ((path, parsed(text)) for path, text in texts().items() if any(word in text for word in words))


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_is_compared_where_it_is_looked_up_and_nowhere_else(choice: str) -> None:
    choices, place = CHOICES[choice]
    names = set(choices) - {"custom", "target"}  # words for other things as well
    setting = choice.rpartition(".")[2]
    quoted = [f'"{name}"' for name in names]  # as the formatter has it
    found = {
        path
        for path, tree in with_words(*quoted, f".{setting}")
        if names.intersection(compared(tree)) or setting in subjects(tree)
    }
    assert found <= {place}
    assert set(choices) <= compared(parsed(texts()[place]))


def test_custom_functions_are_found_by_one_comparison() -> None:
    places = {place for _, place in CHOICES.values()}
    found = {path for path, tree in with_words('"custom"') if "custom" in compared(tree)}
    assert found == {*places, "cloud/settings.py"}


@pytest.mark.parametrize(
    ("kinds", "place"),
    [(ServerOptimizer, "cloud/averaging/optimizers/__init__.py"), (Schedule, "cloud/initiator/learning_rate.py")],
)
def test_what_is_told_apart_by_its_class_is_so_where_it_is_looked_up_and_nowhere_else(kinds: Any, place: str) -> None:
    names = {kind.__name__ for kind in get_args(kinds)}
    assert {path for path, tree in with_words(*names) if names.intersection(classes(tree))} == {place}
    assert f"`{place}`" in (ROOT / "docs" / "contributing.md").read_text()


def test_who_adds_a_choice_is_told_where_it_is_looked_up() -> None:
    told = (ROOT / "docs" / "contributing.md").read_text()
    for choice, (_, place) in CHOICES.items():
        assert f"`{choice}`" in told
        assert f"`{place}`" in told


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
    assert "krum" in compared(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        'round.settings.completion == "target"',
        '"target" != settings.completion',
        'match settings.completion:\n    case "target":\n        pass',
    ],
)
def test_ways_to_compare_a_setting_are_found(code: str) -> None:
    assert subjects(ast.parse(code)) == {"completion"}


def test_ways_to_tell_classes_apart_are_found() -> None:
    code = "match one:\n    case FedAdam():\n        pass\nisinstance(one, FedAvg | FedYogi)"
    assert classes(ast.parse(code)) == {"FedAdam", "FedAvg", "FedYogi"}
