"""The rooms of this project: which of them imports which, what goes into the zips, and that an import does nothing."""

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest

from components import build
from operations import packaging
from tests.paths import ROOT

_BELOW = ("components", "cloud", "fedgrass", "protocol")

MAY_IMPORT = {
    "fedgrass": {"protocol"},
    "protocol": set(),
    "components": {"fedgrass", "protocol"},
    "cloud": {"fedgrass", "protocol"},
    "operations": {"cloud", "protocol"},
    "reporting": {"cloud", "protocol"},
    "simulation": {"reporting", "components", "cloud", "fedgrass", "protocol"},
    "sandbox": {"reporting", "operations", "components", "cloud", "fedgrass", "protocol"},
    "cli": {"sandbox", "simulation", "reporting", "operations", "components", "cloud", "fedgrass", "protocol"},
    "trials": {"cli", "sandbox", "reporting", "operations", "components", "cloud", "fedgrass", "protocol"},
    "benchmarks": {"cli", "sandbox", "simulation", "reporting", "operations", *_BELOW},
    "website": {"cli", "sandbox", "reporting", "operations", *_BELOW},
    "tests": {"cli", "sandbox", "simulation", "reporting", "operations", *_BELOW},
    "tests.trials": {"trials"},
    "tests.benchmarks": {"benchmarks"},
    "tests.website": {"website"},
    "tests.cli.dashboard": {"website"},
    "tests.cli.checking": {"benchmarks", "trials"},
}
"""A room, or a part of one, and which others it may import beside what all of it may."""

ROOMS = {name for name in MAY_IMPORT if "." not in name}

NEVER = {
    "components.client.agent": ("components.client.trainer",),
    "cloud.averaging": ("cloud.state", "cloud.averager", "cloud.initiator"),
    "cloud.state": ("cloud.averager", "cloud.initiator"),
    "cloud.averager": ("cloud.initiator",),
    "cloud.initiator": ("cloud.averager",),
}
"""What a part of a room has no business with in another part."""

FUNCTIONS = ("cloud.averager.handler", "cloud.initiator.handler")
AGENT = "components.client.__main__"
CLIENT = (AGENT, "components.client.trainer.process", "components.client.what_leaves")
HEAVY = {"torch", "torchvision", "numpy", "boto3", "botocore"}


def modules(*rooms: str) -> dict[str, Path]:
    """The modules of some rooms, by name."""
    paths = (path for room in rooms for path in (ROOT / room).rglob("*.py") if not is_of_a_user(path))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def is_of_a_user(path: Path) -> bool:
    """Whether it lies in a task's folder, such as users have, or becomes a part of one."""
    return ROOT / "cli" / "templates" in path.parents or any(
        (folder / "federation.yaml").exists() for folder in path.parents
    )


PROJECT = modules(*ROOMS)


@cache
def imported(name: str) -> frozenset[str]:
    """All that a module imports when it runs, wherever in it, with the packages that lie around each."""
    found = {found for found in named(PROJECT[name]) if found in PROJECT or found.split(".")[0] not in ROOMS}
    return frozenset(package for module in (*found, name) for package in _around(module)) - {name}


def named(path: Path) -> Iterator[str]:
    """The modules that a file names in its imports; what it imports from one may be another."""
    for node in _run(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path} imports by a relative name"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree that may import, without what is there for a type checker alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):  # nothing is imported in one
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _run(other)
        else:
            yield child
            yield from _run(child)


def _around(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def reached(entries: Iterable[str]) -> set[str]:
    """The modules of this project that these import, directly or not, and the names of all others."""
    found: set[str] = set()
    waiting = [*entries]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imported(name) if name in PROJECT else ()
    return found


def within(name: str, place: str) -> bool:
    return f"{name}.".startswith(f"{place}.")


def test_rooms_import_only_the_rooms_below_them() -> None:
    wrong = []
    for name in PROJECT:
        room = name.split(".")[0]
        allowed = {room}.union(*(rooms for place, rooms in MAY_IMPORT.items() if within(name, place)))
        others = {other for other in imported(name) if other.split(".")[0] in ROOMS - allowed}
        wrong += [f"{name} imports {other}" for other in others]
    assert sorted(wrong) == []


@pytest.mark.parametrize("part", NEVER)
def test_a_part_of_a_room_does_not_reach_into_another(part: str) -> None:
    seen = reached(name for name in PROJECT if within(name, part))
    assert [name for name in sorted(seen) if any(within(name, place) for place in NEVER[part])] == []


def test_the_agent_reaches_neither_the_trainer_nor_what_takes_much_memory() -> None:
    seen = reached([AGENT])
    assert "components.client.agent.service" in seen
    assert {name.split(".")[0] for name in seen} & HEAVY == set()
    assert [name for name in sorted(seen) if within(name, "components.client.trainer")] == []


def test_each_module_of_the_agent_and_of_the_trainer_is_in_use() -> None:
    """Both processes of com.fedgrass.Client, and the tool beside them; whatever else there is, users import."""
    seen = reached(CLIENT)
    assert sorted(modules("components/client").keys() - seen) == []


def files_of(names: Iterable[str]) -> set[str]:
    return {PROJECT[name].relative_to(ROOT).as_posix() for name in names if name in PROJECT}


def test_the_functions_zip_holds_what_the_functions_import_and_what_policies_may() -> None:
    with zipfile.ZipFile(BytesIO(packaging.code({}))) as code:
        found = set(code.namelist())
    assert found == files_of({*reached(FUNCTIONS), *modules("fedgrass")}) | {"cloud/pricing/prices.toml"}


def test_the_clients_zip_holds_what_its_processes_import_and_what_tasks_may(tmp_path: Path) -> None:
    artifacts = build.build(ROOT, tmp_path).artifacts
    with zipfile.ZipFile(artifacts / "client.zip") as client:
        assert set(client.namelist()) == files_of({*reached(CLIENT), *modules("fedgrass")})


IMPORT_ALL = """
import contextlib, gc, importlib, json, logging, os, signal, socket, sys, threading

gc.disable()  # what is imported is here to stay
wanted, others = json.loads(sys.stdin.read())
for name in others:  # what these do at their import is theirs; some are names in modules
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(name)

effects = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
WATCHED = ("socket.", "subprocess.", "shutil.", "tempfile.", "urllib.", "os.mkdir", "os.remove", "os.rename",
           "os.rmdir", "os.fork", "os.exec", "os.posix_spawn", "os.system", "os.kill", "os.putenv", "os.chdir")


def watch(event, arguments):
    if event.startswith(WATCHED) or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
        effects.append(f"{name}: {event} {arguments}")


def state():
    handled = [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())]
    return (dict(os.environ), list(sys.path), list(logging.root.handlers), handled, socket.getdefaulttimeout(),
            [thread.name for thread in threading.enumerate()], os.listdir("/proc/self/fd"))


sys.addaudithook(watch)
before = state()
for name in wanted:
    importlib.import_module(name)
    if state() != before:
        effects.append(f"{name}: {state()} instead of {before}")
        before = state()
print(json.dumps(effects), file=sys.stderr)
"""

PEERS = {"flwr", "nvflare"}
"""What `make bench-peers` installs."""


def test_an_import_does_nothing(tmp_path: Path) -> None:
    """No file, socket, process, thread or signal handler is made, and nothing said: whatever imports a module of this
    project decides itself what is done."""
    wanted = [name for name in PROJECT if not within(name, "tests") and not imported(name) & PEERS]
    assert len(wanted) > 200
    ours = ROOMS | {"build", "task_folder"}
    others = {other for name in wanted for other in imported(name) if other.split(".")[0] not in ours}
    run = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_ALL],
        input=json.dumps([wanted, sorted(others)]),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (run.returncode, run.stdout) == (0, ""), run.stderr
    assert json.loads(run.stderr) == []
