"""Checks the scripts of a recipe: the steps of a component's life, and what they refer to.

As components/build.py, this runs with any Python from 3.9 on, and the standard library alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Iterator, Mapping, NamedTuple  # noqa: UP035 - needed by Python 3.9.0

from components.recipe_faults import fault, keys

if TYPE_CHECKING:
    from components.recipe_text import Tree

_BRACES = re.compile(r"\{[^{}]*\}?")
_VARIABLE = re.compile(r"\{(?:artifacts:path|work:path|kernel:rootPath|iot:thingName|configuration:(/[^{}:]+))\}")
_ELSEWHERE = re.compile(r'"[^"]*"')
_SCRIPTS = ("bootstrap", "install", "startup", "run")
_NOT_ON_LITE = ("shutdown", "recover")


class Scope(NamedTuple):
    """What scripts may refer to: the default configuration, and components that are there whenever they run."""

    defaults: Mapping[str, Tree]
    hard: set[str]


def faults(lifecycle: Tree, path: str, scope: Scope) -> Iterator[str]:
    if isinstance(lifecycle, dict):
        for name in _NOT_ON_LITE:
            if name in lifecycle:
                yield f"{path}/{name}: nucleus lite never runs it: do at SIGTERM, or at the next start, what it does"
        lifecycle = {name: step for name, step in lifecycle.items() if name not in _NOT_ON_LITE}
    steps = yield from keys(lifecycle, path, known=(*_SCRIPTS, "Setenv"))
    if "startup" in steps and "run" in steps:
        yield f"{path}: it has startup and run, of which a nucleus runs one: remove the other"
    for name, step in steps.items():
        if name == "Setenv":
            yield from _environment(step, f"{path}/Setenv", scope)
        elif isinstance(step, str):
            yield from _script(step, f"{path}/{name}", scope)
        else:
            yield from _step(step, f"{path}/{name}", scope)


def _step(step: Tree, path: str, scope: Scope) -> Iterator[str]:
    if isinstance(step, dict) and "Skipif" in step:
        yield f"{path}/Skipif: nucleus lite runs the step nevertheless: test for it in the script"
        step = {key: value for key, value in step.items() if key != "Skipif"}
    fields = yield from keys(step, path, needed=("Script",), known=("Timeout", "Setenv", "RequiresPrivilege"))
    if "Script" in fields:
        yield from _script(fields["Script"], f"{path}/Script", scope)
    timeout = fields.get("Timeout", "1")
    if not (isinstance(timeout, str) and timeout.isascii() and timeout.isdigit() and int(timeout) > 0):
        yield fault(f"{path}/Timeout", timeout, "write a whole number of seconds")
    if fields.get("RequiresPrivilege", "false") != "false":
        remedy = "leave it out: root's own AWS credentials would take the place of the device's"
        yield fault(f"{path}/RequiresPrivilege", fields["RequiresPrivilege"], remedy)
    if "Setenv" in fields:
        yield from _environment(fields["Setenv"], f"{path}/Setenv", scope)


def _environment(values: Tree, path: str, scope: Scope) -> Iterator[str]:
    if not isinstance(values, dict):
        yield fault(path, values, "write a map of variables and values")
        return
    for name, value in values.items():
        if isinstance(value, str):
            yield from _variables(value, f"{path}/{name}", scope)
        else:
            yield fault(f"{path}/{name}", value, "write a text")


def _script(script: Tree, path: str, scope: Scope) -> Iterator[str]:
    if not isinstance(script, str) or not script.strip():
        yield fault(path, script, "write the script as a text")
        return
    yield from _variables(script, path, scope)
    for other in re.findall(r"\{work:path\}/\.\./([\w.-]+)", script):
        if other not in scope.hard:
            remedy = "add it to ComponentDependencies, with DependencyType: HARD, or name one that is there"
            yield f"{path}: the work directory of {other!r} may not be there: {remedy}"
    for variable in re.findall(r"\{configuration:[^{}]*\}", _ELSEWHERE.sub("", script)):
        yield f"{path}: {variable}: put it between double quotes: nucleus lite escapes it with backslashes"


def _variables(text: str, path: str, scope: Scope) -> Iterator[str]:
    """Every opening brace begins a recipe variable, on nucleus lite: the text ends at one that it does not know."""
    for found in _BRACES.finditer(text):
        if text[: found.start()].endswith("$"):
            continue  # told of for the whole recipe
        match = _VARIABLE.fullmatch(found[0])
        if match is None:
            yield (
                f"{path}: {found[0]!r}: nucleus lite takes each brace for a recipe variable, and cuts the text there: "
                "use {artifacts:path}, {work:path}, {kernel:rootPath}, {iot:thingName} or {configuration:/<key>}, or "
                "move what needs braces into a file of the artifacts"
            )
        elif match[1] and not _is_configured(match[1], scope.defaults):
            yield f"{path}: {found[0]}: add the key to ComponentConfiguration/DefaultConfiguration, which lacks it"


def _is_configured(pointer: str, defaults: Mapping[str, Tree]) -> bool:
    tree: Tree = dict(defaults)
    for key in pointer[1:].split("/"):
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True
