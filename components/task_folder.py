"""What of a task's folder goes to devices, and what of it they could not import as it is meant.

As components/build.py, this runs with any Python from 3.9 on, and the standard library alone.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import stat
import sys
from pathlib import Path, PurePosixPath
from typing import Iterator, NamedTuple  # noqa: UP035 - collections.abc's can't be subscripted before 3.9.2

from components.text import printable

ARTIFACT_NAME = re.compile(r"[a-zA-Z0-9_.-]+")
_MODULE = re.compile(r"([^./]+)(?:/__init__)?(?:\.py|(?:\.[^./]+)?\.so)")
"""The name of a file, compiled or not, that is imported as a module of this name."""

LARGE_BYTES = 20_000_000
"""What is larger is warned of: each device downloads it, and keeps it twice."""

_LISTED = 30

_SECRET_NAMES = (
    "id_rsa",
    "id_ecdsa",
    "id_ed25519",
    "*.env",
    "credentials*",
    "secret*",
    "*.p12",
    "*.pfx",
    "kaggle.json",
)
_SECRET = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|aws_secret_access_key\s*[=:]", re.IGNORECASE
)
_READ_BYTES = 100_000

_LEFT_OUT = {
    "hidden": (".*",),
    "compiled by Python": ("__pycache__", "*.pyc", "*.pyo"),
    "tests": ("test", "tests", "test_*.py", "*_test.py", "conftest.py"),
    "made by a build": ("build", "dist", "*.egg-info", "greengrass-build", "zip-build"),
    "installed packages": ("site-packages", "node_modules"),
}
"""Why files and folders of these names stay behind, unless the task imports what is in them."""

_OTHERS = {
    "federation.yaml": "for the cloud",
    "policies.py": "for the cloud",
    "requirements.txt": "for com.fedgrass.Runtime",
    **dict.fromkeys(("gdk-config.json", "recipe.yaml", "AGENTS.md", "make_data.py", "runs"), "for this machine"),
}
"""What a task does not read on a device: a change of it is none of the task."""

_TRIALS = "data of clients, for trials on this machine"
_NOTE = "*.md"
"""What may lie beside the folders of clients."""

_MARKS = {
    "a virtual environment": (("pyvenv.cfg",), ("conda-meta",)),
    "made by a build": (("recipes", "artifacts"),),
    "a run's folder": (("rounds.jsonl", "clients.csv"),),
    "kept of a run": (("aws.log", "devices"),),
    "an experiment's results": (("output.log", "runs"),),
}
"""What a folder holds that stays behind, whatever its name."""

OURS = frozenset({"benchmarks", "cli", "cloud", "components", "protocol", "sandbox"})
LIBRARIES = frozenset(
    {
        "PIL",
        "_yaml",
        "awscrt",
        "awsiot",
        "boto3",
        "botocore",
        "cuda",
        "dateutil",
        "filelock",
        "fsspec",
        "functorch",
        "isympy",
        "jinja2",
        "jmespath",
        "markupsafe",
        "mpmath",
        "msgspec",
        "networkx",
        "numpy",
        "nvidia",
        "pkg_resources",
        "s3transfer",
        "setuptools",
        "six",
        "sympy",
        "torch",
        "torchgen",
        "torchvision",
        "triton",
        "typing_extensions",
        "urllib3",
        "yaml",
    }
)
"""What the Python environment of devices has."""


class BuildError(Exception):
    """The component cannot be built as it is; the text says what to change."""


class TaskFolderError(BuildError):
    """The task directory is not one that a device could use. `text` is without the file and its line, where it concerns
    one."""

    def __init__(self, text: str, file: Path | None = None, line: int | None = None) -> None:
        place = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        super().__init__(place + text)
        self.text = text
        self.file = file
        self.line = line


class Warned(NamedTuple):
    """What should perhaps not go to devices, by its name in the folder, and what to do about it."""

    name: str
    text: str
    remedy: str


class TaskFolder(NamedTuple):
    """What was found: the files of task.zip and those that become artifacts beside it, by their names there; what stays
    behind, by its path in the folder, with the reason; and the names of what task.py imports, itself included."""

    packed: dict[str, Path]
    data: dict[str, Path]
    left_out: dict[str, str]
    imported: frozenset[str] = frozenset()

    def report(self) -> Iterator[str]:
        """What goes to devices, with its size, and what does not: lines to be read."""
        sizes = {name: file.stat().st_size for name, file in {**self.packed, **self.data}.items()}
        total = sum(sizes.values())
        yield f"the task has {len(sizes)} {'file' if len(sizes) == 1 else 'files'}, {total:,} bytes:"
        ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
        for name in ranked[:_LISTED]:
            yield f"{sizes[name]:>15,}  {printable(name)}"
        if ranked[_LISTED:]:
            yield f"{sum(sizes[name] for name in ranked[_LISTED:]):>15,}  in {len(ranked[_LISTED:])} smaller ones"
        for name, reason in list(self.left_out.items())[:_LISTED]:
            yield f"       left out  {printable(name)}: {reason}"
        if len(self.left_out) > _LISTED:
            yield f"       left out  {len(self.left_out) - _LISTED} more"
        for warned in self.warnings():
            yield f"warning: {printable(warned.name)}: {warned.text}; {warned.remedy}"

    def warnings(self) -> Iterator[Warned]:
        """What goes along, and perhaps should not."""
        files = {**self.packed, **self.data}
        sizes = {name: file.stat().st_size for name, file in files.items()}
        total = sum(sizes.values())
        if total > LARGE_BYTES:
            largest = max(sizes, key=lambda name: sizes[name])
            yield Warned(
                largest,
                f"the task has {total / 1e6:,.0f} MB, of which this is the most, and each device downloads it",
                "keep a client's data out of the task's folder: a device has its own, and load_data is told where",
            )
        for name, file in files.items():
            reason = _secret(name, file, sizes[name])
            if reason is not None:
                yield Warned(name, f"it {reason}, and would be published to all devices", "move it out of the folder")


def inspect_folder(task: Path) -> TaskFolder:
    """What is in a task's folder.

    Raises:
        TaskFolderError: it can't be read or has no task.py; what this imports does not compile, or stays behind; a file
            is named like a module that the device's process imports; a link leaves the folder; data/ holds what can't
            be an artifact.
    """
    root = task.resolve()
    if not _is_file(root / "task.py"):
        raise TaskFolderError(f"{task} has no task.py: name the folder that has it")
    try:
        list(root.iterdir())
    except OSError as error:
        raise TaskFolderError(f"{task} cannot be read: {error.strerror}") from error
    imported = _imported(root)
    found = TaskFolder({}, {}, {}, frozenset(imported))
    for name in sorted(imported):
        if name.startswith("data/"):
            raise TaskFolderError(f"{root / name} is imported, and data/ is for files that are no code: move it")
    _walk(root, root, imported, (), found)
    for name in sorted(imported - found.packed.keys()):
        for left, reason in found.left_out.items():
            if f"{name}/".startswith(f"{left}/"):
                raise TaskFolderError(f"{root / name} is imported, and can't go along: {reason}")
    _check_names(root, found.packed, imported)
    return found


def _secret(name: str, file: Path, size: int) -> str | None:
    """What about a file looks like something that nobody else should have."""
    last = name.rpartition("/")[2].lower()
    if any(fnmatch.fnmatchcase(last, pattern) for pattern in _SECRET_NAMES):
        return "is named like a secret"
    if size <= _READ_BYTES and _SECRET.search(file.read_bytes()):
        return "holds what looks like a key"
    return None


def _walk(root: Path, folder: Path, imported: set[str], around: tuple[Path, ...], found: TaskFolder) -> None:
    """`around` are the folders that this one is in, links followed."""
    around = (*around, folder.resolve())
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.left_out[_name(root, folder)] = f"cannot be read: {error.strerror}"
        return
    is_data = folder == root / "data"
    for path in entries:
        name = _name(root, path)
        reason = _TRIALS if path == root / "data" and is_of_clients(path) else None
        reason = reason or _reason_by_name(name, path, imported) or _reason_by_kind(root, path, around)
        if reason is not None:
            found.left_out[name] = reason
        elif is_data:
            found.data[_artifact(path)] = path
        elif path.is_dir():
            _walk(root, path, imported, around, found)
        else:
            found.packed[name] = path


def is_of_clients(data: Path) -> bool:
    """Whether data/ has the folder clients/, or folders and nothing else but notes, one folder a client: devices have
    data of their own."""
    try:
        visible = [path for path in data.iterdir() if not path.name.startswith(".")]
        folders = [path for path in visible if path.is_dir()]
        if any(path.name == "clients" for path in folders):
            return True
        return bool(folders) and all(path in folders or fnmatch.fnmatch(path.name, _NOTE) for path in visible)
    except OSError:  # what can't be read is told with its reason elsewhere
        return False


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _reason_by_name(name: str, path: Path, imported: set[str]) -> str | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if name in imported or any(each.startswith(f"{name}/") for each in imported):
        return None
    if name in _OTHERS:
        return _OTHERS[name]
    for reason, patterns in _LEFT_OUT.items():
        if any(fnmatch.fnmatchcase(path.name, pattern) for pattern in patterns):
            return reason
    return None


def _reason_by_kind(root: Path, path: Path, around: tuple[Path, ...]) -> str | None:
    try:
        mode = path.stat().st_mode
        target = path.resolve()
        if target != root and root not in target.parents:
            raise TaskFolderError(
                f"{path} is a link that leaves the task's folder, to {target}: put a copy in its place"
            )
        if stat.S_ISDIR(mode):
            if target in around:
                return "a link to a folder that it is in"
            for reason, marks in _MARKS.items():
                if any(all((path / mark).exists() for mark in together) for together in marks):
                    return reason
            return None
        if not stat.S_ISREG(mode):
            return "neither a file nor a folder"
        path.open("rb").close()
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _artifact(path: Path) -> str:
    """The name of a file of data/ among the component's artifacts."""
    if path.is_dir():
        raise TaskFolderError(
            f"{path} is no file: artifacts are a flat list, so data/ holds files only, the same for every device, or "
            "a folder for each client and no files, which stays here"
        )
    if not ARTIFACT_NAME.fullmatch(path.name) or path.name in ("client.zip", "task.zip"):
        raise TaskFolderError(
            f"{path}: give it a name of a-z, A-Z, 0-9, '.', '_' and '-' that is neither client.zip nor task.zip"
        )
    return path.name


def _check_names(root: Path, packed: dict[str, Path], imported: set[str]) -> None:
    """On a device, the task's modules are found before those of the standard library and of other packages; unless
    these are imported already: then the task's are never found."""
    taken = OURS | LIBRARIES | getattr(sys, "stdlib_module_names", frozenset(sys.builtin_module_names))
    for name in packed:
        first = name.partition("/")[0]
        itself = _MODULE.fullmatch(name)
        module = itself[1] if itself else first if name in imported else ""
        if itself and module == "task" and name != "task.py":
            raise TaskFolderError(
                f"{root / first} is found before task.py, and would be imported in its place: rename it"
            )
        if module in taken:
            raise TaskFolderError(
                f"{root / first} is named like the module {module} of {_owner(module)}: on a device, one would be "
                "imported for the other; rename it"
            )


def _owner(module: str) -> str:
    if module in OURS:
        return "fedgrass"
    return "a package that devices have" if module in LIBRARIES else "Python's standard library"


def _imported(root: Path) -> set[str]:
    """The files of the folder that task.py imports, by themselves or through others, itself included: names in it."""
    waiting, seen = ["task.py"], {"task.py"}
    while waiting:
        name = waiting.pop()
        for module in _modules(_parsed(root / name), PurePosixPath(name)):
            for file in _files_of(root, module):
                if file not in seen:
                    seen.add(file)
                    waiting.append(file)
    return seen


def _parsed(file: Path) -> ast.Module:
    try:
        source = file.read_bytes()
        compile(source, str(file), "exec", dont_inherit=True)
        return ast.parse(source)
    except SyntaxError as error:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise TaskFolderError(f"{error.msg} (as Python {version} reads it)", file, error.lineno or None) from error
    except (OSError, ValueError) as error:  # ValueError is a null byte, before Python 3.12
        raise TaskFolderError(str(error), file) from error


def _modules(tree: ast.Module, name: PurePosixPath) -> Iterator[tuple[str, ...]]:
    """The modules that a file may import, as far as it names them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name.parts[: len(name.parts) - node.level] if node.level else ()
            base = (*package, *(node.module.split(".") if node.module else ()))
            yield base
            yield from ((*base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield tuple(node.args[0].value.split("."))


def _files_of(root: Path, module: tuple[str, ...]) -> Iterator[str]:
    """The files of the folder that are executed to import a module: its packages' and its own."""
    for length in range(1, len(module) + 1):
        path = PurePosixPath(*module[:length])
        for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if path.name and _is_file(root / candidate):
                yield str(candidate)
                break


def _is_file(path: Path) -> bool:
    """Whether what would be imported is there: unlike Path.is_file(), this does not take what is hidden for missing."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except PermissionError as error:
        raise TaskFolderError(f"{path.parent} cannot be read, but is imported from: {error.strerror}") from error
    except (OSError, ValueError):  # ValueError is a null byte
        return False
