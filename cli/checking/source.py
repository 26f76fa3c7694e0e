"""What task.py says, without running it: its functions, and where each of them stands and returns."""

import ast
import difflib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from cli.checking.findings import Finding, at
from components.client.trainer.task import contract
from components.task_folder import LIBRARIES
from components.task_requirements import Requirement

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_NEAR = 0.75

_DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil",
}
"""Of packages that are not installed under the name that they are imported by."""

_CONDITION = "__name__"


def distribution_of(module: str) -> str:
    """What to install for a module."""
    return _DISTRIBUTIONS.get(module, module)


class Source:
    """A task's own file, parsed.

    Raises:
        OSError, SyntaxError, ValueError: it can't be read, or is no Python.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_bytes())
        self.functions: dict[str, _Function] = {
            node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        self._names = {name: node.lineno for node in self.tree.body for name in _bound(node)}

    def return_of(self, function: str) -> int | None:
        """Where a function returns at last; where it begins, if it never does, or is not to be seen."""
        found = self.functions.get(function)
        if found is None:
            return self._names.get(function)
        returns = [node.lineno for node in _own_nodes(found) if isinstance(node, ast.Return)]
        return max(returns, default=found.lineno)

    def findings(self) -> Iterator[Finding]:
        """What can be told of it before it runs."""
        yield from self._missing()
        yield from self._misspelt()
        yield from self._signatures()
        yield from self._module_level()

    def _missing(self) -> Iterator[Finding]:
        inner = {
            node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        stars = any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in self.tree.body)
        for name in contract.REQUIRED:
            if name in self._names or stars:
                continue
            near = self._near(name, self.functions)
            line, remedy = None, f"add one: def {name}({', '.join(contract.FUNCTIONS[name])}): ..."
            if name in inner:
                line = inner[name].lineno
                remedy = "it is inside of something else here: move it to the left margin, as a function of the file"
            elif near:
                line, remedy = self.functions[near].lineno, f"did you mean {name}? Rename {near} to {name}"
            yield at(self.path, line, f"{self.path.name} has no function {name}(), which a task needs", remedy)

    def _misspelt(self) -> Iterator[Finding]:
        used = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        others = self.functions.keys() - contract.FUNCTIONS.keys() - used
        for name in contract.FUNCTIONS.keys() - set(contract.REQUIRED):
            near = None if name in self._names else self._near(name, others)
            if near:
                yield at(
                    self.path,
                    self.functions[near].lineno,
                    f"nothing calls {near}()",
                    f"did you mean {name}? Then rename it, or the default is used; else leave it as it is",
                    severity="warning",
                )

    def _signatures(self) -> Iterator[Finding]:
        for name, given in contract.FUNCTIONS.items():
            function = self.functions.get(name)
            if function is None:
                continue
            call = f"{name}({', '.join(given)})"
            if isinstance(function, ast.AsyncFunctionDef):
                yield at(self.path, function.lineno, f"{name}() is async", f"make it a plain function: def {call}:")
            elif function.decorator_list or _takes(function.args, len(given)):
                continue
            else:
                told = f"with {len(given)} arguments" if len(given) != 1 else "with one argument"
                told = "without arguments" if not given else f"{told} ({', '.join(given)})"
                yield at(
                    self.path,
                    function.lineno,
                    f"{name}({ast.unparse(function.args)}) can't be called as it will be, {told}",
                    f"write def {call}:" + (", with constants of the file in place of arguments" if not given else ""),
                )

    def _module_level(self) -> Iterator[Finding]:
        """What would run at each import: on a device, whenever its training process starts."""
        for node in self.tree.body:
            called = node.value if isinstance(node, ast.Expr) else None
            is_own_call = (
                isinstance(called, ast.Call) and isinstance(called.func, ast.Name) and called.func.id in self.functions
            )
            if isinstance(node, ast.For | ast.While) or is_own_call:
                yield at(
                    self.path,
                    node.lineno,
                    "this runs whenever the file is imported: on each device, before each training",
                    'put it under if __name__ == "__main__": at the end of the file',
                    severity="warning",
                )

    def _near(self, name: str, candidates: "dict[str, _Function] | set[str]") -> str | None:
        matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=_NEAR)
        plain = [one for one in candidates if one.lower().replace("_", "") == name.replace("_", "")]
        return next(iter([*plain, *matches]), None)


def unavailable(root: Path, files: list[str], required: Sequence[Requirement]) -> Iterator[Finding]:
    """The packages that these files of the task import, and that devices do not have, or, of those that are `required`
    of them besides, this machine has not. What is imported where it may fail (in a try) is let pass."""
    own = {Path(name).parts[0].removesuffix(".py") for name in files}
    known = LIBRARIES | sys.stdlib_module_names | own | {"fedgrass", "protocol", "components"}
    given = {module: requirement for requirement in required for module in _modules_of(requirement)}
    seen: set[str] = set()
    for name in files:
        try:
            tree = ast.parse((root / name).read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        for node, is_lazy in _imports(tree):
            for module in _roots(node):
                if module in known or module in seen:
                    continue
                seen.add(module)
                if module not in given:
                    yield _unavailable(root / name, node.lineno, module, is_lazy=is_lazy)
                elif importlib.util.find_spec(module) is None:
                    pinned = given[module].pinned
                    text = f"the package {module} is imported: devices are given {pinned}, but it is not installed here"
                    yield at(root / name, node.lineno, text, f"to try it out, install it here: pip install {pinned}")


def _modules_of(requirement: Requirement) -> set[str]:
    """The modules that are imported of a package; guessed if it is not installed."""
    try:
        files = importlib.metadata.files(requirement.name) or []
    except importlib.metadata.PackageNotFoundError:
        guessed = requirement.key.replace("-", "_")
        return {next((module for module, name in _DISTRIBUTIONS.items() if name == requirement.key), guessed)}
    return {file.parts[0].partition(".")[0] for file in files if file.suffix in (".py", ".so")}


def _unavailable(path: Path, line: int, module: str, *, is_lazy: bool) -> Finding:
    near = [
        *difflib.get_close_matches(module, LIBRARIES, n=1, cutoff=_NEAR),
        *difflib.get_close_matches(module, sys.stdlib_module_names, n=1, cutoff=_NEAR),
    ]
    is_here = importlib.util.find_spec(module) is not None
    if near and not is_here:
        return at(path, line, f"there is no package {module}", f"did you mean {near[0]}?")
    where = "it is installed here, but devices do not have it" if is_here else "devices do not have it, nor is it here"
    package = distribution_of(module)
    return at(
        path,
        line,
        f"the package {module} is imported: {where}",
        f"do without it, or give it to devices by a line {package}==... in requirements.txt beside task.py"
        + ("" if is_here else ", and install it here to try it out"),
        severity="warning" if is_lazy else "error",
    )


def _imports(tree: ast.Module) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Imports, and whether they happen only when something is called."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, is_lazy = waiting.pop(0)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child, is_lazy
            elif (isinstance(child, ast.If) and _CONDITION in ast.unparse(child.test)) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            ):
                continue
            elif not isinstance(child, ast.Try):
                is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                waiting.append((child, is_lazy or is_function))


def _roots(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [] if node.level or not node.module else [node.module.split(".")[0]]


def _takes(arguments: ast.arguments, given: int) -> bool:
    """Whether so many arguments can be given, by their places."""
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    required_names = [default for default in arguments.kw_defaults if default is None]
    return needed <= given and (given <= len(positional) or arguments.vararg is not None) and not required_names


def _own_nodes(function: _Function) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions in it."""
    waiting: list[ast.AST] = [*function.body]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of the file gives to something, also below an if or a try."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
        return
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child.name
