"""GDK's build command: makes a component's recipe and artifacts from the directory that holds its gdk-config.json.

The same files always give the same bytes, whatever the machine, the user, the time or the Python, so that a device
downloads only what changed. GDK runs this with the system's Python: standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import stat
import sys
import zipfile
from pathlib import Path
from typing import Dict, NamedTuple, Union  # noqa: UP035 - see _Content

if not __package__:  # run as a script, which finds what lies beside it only
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from components import (
    packed_wheelhouse,
    published_versions,
    recipe_check,
    recipe_text,
    task_folder,
    task_requirements,
)
from components.gdk_config import RUNTIME, Config, read_config
from components.packed_wheelhouse import WheelhouseFolderError
from components.task_check import is_faulty
from components.task_folder import BuildError, TaskFolderError
from components.text import printable

MAX_RECIPE_BYTES = 16_000
"""What AWS IoT Greengrass takes, and what `gdk component publish` checks."""

_ARCHITECTURE = re.compile(r" *architecture: (\w+) *")
_ARTIFACT = re.compile(r"( *- Uri: s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/)([a-zA-Z0-9_.-]+) *")
_NAME_IT = "name the task's directory with --task, on the command line or in gdk-config.json's custom_build_command"
_CHECKOUT = Path(__file__).resolve().parent.parent
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)


_Content = Union[Path, bytes, Dict[str, Path]]  # noqa: UP006, UP007 - this is evaluated, by Python 3.9 too
"""What an artifact is made of: a file to copy, what to write, or files to pack by their names."""


class RecipeError(BuildError):
    """The recipe is missing, too large, names an artifact that nothing makes, or says what a nucleus would read
    otherwise than it is meant; the text has a line for each fault."""


class PublishedError(BuildError):
    """The version is in AWS already."""


class BuiltComponent(NamedTuple):
    """What a build made: the recipe's file, the directory that holds the artifacts, without subdirectories, and lines
    that tell what of the task is in it."""

    name: str
    version: str
    recipe: Path
    artifacts: Path
    report: tuple[str, ...] = ()


def build(root: Path, output: Path, task: Path | None = None, wheelhouses: tuple[Path, ...] = ()) -> BuiltComponent:
    """Builds the component of `root`/gdk-config.json into `output`, where GDK looks for it; what an earlier build of
    this component left there is removed.

    The recipe says which artifacts there are: client.zip and task.zip are packed, fedgrass.zip has what a task imports
    of this project where no client.zip is, any other is a file of `root`, or of components/runtime if `root` has none
    of its name. components/task_folder.py says what of the task goes into task.zip. The files in the task's data/
    directory become artifacts beside it, and are added to the recipe. The requirements.txt of com.fedgrass.Runtime is
    joined by what the task needs besides (components/task_requirements.py), and each of the `wheelhouses` becomes an
    artifact of it (components/packed_wheelhouse.py). `task` is the task's directory; None takes the one that
    gdk-config.json names. No wheelhouses are those that it names.

    Raises:
        ConfigError, RecipeError, TaskFolderError, TaskRequirementsError, WheelhouseFolderError: see there.
    """
    config = read_config(root)
    source = root / "recipe.yaml"
    if not source.is_file():
        raise RecipeError(f"{source} is missing: it is the component's recipe, or a link to it")
    if task is None and config.task is not None:
        task = root / config.task
    folders = list(wheelhouses or (root / folder for folder in config.wheelhouses))

    files: dict[str, _Content] = {}
    report: list[str] = []
    for name in dict.fromkeys(_artifact_names(source)):
        if name == "task.zip":
            if task is None:
                raise TaskFolderError(f"no task is named: {_NAME_IT}")
            found = task_folder.inspect_folder(task)
            files.update({name: found.packed, **found.data})
            report += found.report()
            report += _needed(task)
        elif name in task_requirements.LISTS:
            files[name] = task_requirements.with_those_of(task, name).encode()
            report = _needed(task) if task else []
        else:
            files[name] = _artifact(name, root)
    if task_requirements.FILE_NAME in files:
        files.update(packed_wheelhouse.artifacts(folders, task))
    elif folders:
        raise WheelhouseFolderError(f"{config.name} takes no wheelhouse: it is for com.fedgrass.Runtime")
    recipe = _recipe(source, config, files)

    target, artifacts = _cleared(source, output, config)
    artifacts.mkdir(parents=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if isinstance(content, bytes):
            (artifacts / name).write_bytes(content)
        elif isinstance(content, Path):
            shutil.copyfile(content, artifacts / name)
        else:
            _pack(content, artifacts / name)
    target.write_bytes(recipe)
    return BuiltComponent(config.name, config.version, target, artifacts, tuple(report))


def _cleared(source: Path, output: Path, config: Config) -> tuple[Path, Path]:
    """The recipe's file and the directory of the artifacts, of which nothing is there any more."""
    artifacts = output / "artifacts" / config.name / config.version
    target = output / "recipes" / source.resolve().name  # GDK looks for it under the name of the link's target
    for stale in (target, *target.parent.glob(f"{target.stem}-*.yaml")):  # the second as GDK publishes it
        stale.unlink(missing_ok=True)
    for published in target.parent.glob(f"{config.name}-*.yaml"):
        published.unlink()
    shutil.rmtree(artifacts.parent, ignore_errors=True)
    return target, artifacts


def _artifact_names(recipe: Path) -> list[str]:
    names = []
    for line in recipe.read_text(encoding="utf-8").splitlines():
        match = _ARTIFACT.fullmatch(line)
        if match:
            names.append(match[2])
        elif line.strip().startswith("- Uri:"):
            raise RecipeError(
                f"{recipe}: write {line.strip()!r} as '- Uri: s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/<file>'"
            )
    return names


def _artifact(name: str, root: Path) -> _Content:
    """What an artifact of the recipe stands for."""
    if name == "client.zip":
        return _packages(root, "components/client", "fedgrass", "protocol")
    if name == "fedgrass.zip":
        return _packages(root, "fedgrass", "protocol")
    for folder in (root, _CHECKOUT / "components" / "runtime"):
        if (folder / name).is_file():
            return folder / name
    raise RecipeError(f"the recipe names the artifact {name}, but there is no file {root / name}")


def _packages(root: Path, *names: str) -> dict[str, Path]:
    """Packages of this project, under the names that they are imported by. A user's own folder takes them from the
    checkout that this file is in."""
    if not (root / "components").is_dir():
        root = _CHECKOUT
    files: list[Path] = []
    for name in names:
        package = root / name
        if not (package / "__init__.py").is_file():
            raise RecipeError(f"the recipe's artifacts need the package {package}, which is missing")
        files += package.rglob("*.py")
        files += (parent / "__init__.py" for parent in package.parents if parent != root and root in parent.parents)
    return {file.relative_to(root).as_posix(): file for file in files}


def _needed(task: Path) -> list[str]:
    needed = [one.pinned for one in task_requirements.read(task)]
    return (
        [f"the task needs {', '.join(needed)}, which com.fedgrass.Runtime has if its build has --task"]
        if needed
        else []
    )


def _recipe(source: Path, config: Config, files: dict[str, _Content]) -> bytes:
    """The recipe of this build. The bucket in the artifacts' URIs is left for GDK to fill in when it publishes; a
    local deployment finds them by their file names."""
    text = source.read_text(encoding="utf-8")
    listed = set(_artifact_names(source))
    added = [name for name in files if name not in listed]
    lines, architecture = [], ""
    for line in text.splitlines():
        lines.append(line)
        if match := _ARCHITECTURE.fullmatch(line):
            architecture = match[1]
        match = _ARTIFACT.fullmatch(line)
        if match and match[2] in ("task.zip", task_requirements.FILE_NAME):
            lines += [match[1] + name for name in added if packed_wheelhouse.is_for(name, architecture)]
    text = "\n".join(lines) + "\n"
    for placeholder, value in {
        "{COMPONENT_NAME}": config.name,
        "{COMPONENT_VERSION}": config.version,
        "{RUNTIME_NAME}": config.runtime,
        '"{COMPONENT_AUTHOR}"': json.dumps(config.author),
    }.items():
        text = text.replace(placeholder, value)
    recipe = text.encode()
    if len(recipe) > MAX_RECIPE_BYTES:
        raise RecipeError(
            f"the recipe of {config.name} has {len(recipe)} bytes, AWS IoT Greengrass takes {MAX_RECIPE_BYTES}: "
            f"shorten {source.resolve()}, or put fewer files into the task's data directory"
        )
    try:
        wrong = [*recipe_check.faults(recipe_text.read(text), config)]
    except recipe_text.RecipeTextError as error:
        raise RecipeError(f"{source}: {error}") from error
    if wrong:
        raise RecipeError("\n".join(f"{source}: {fault}" for fault in wrong))
    return recipe


def _pack(files: dict[str, Path], archive: Path) -> None:
    # Not compressed: the same bytes with every zlib, and Python imports from it without inflating.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            target.writestr(entry, files[name].read_bytes())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build.py",
        description="Builds the Greengrass component of the gdk-config.json in the current directory. `gdk component "
        "build` runs it, and `make build` for com.fedgrass.Client; both make the same bytes.",
    )
    parser.add_argument(
        "--task",
        type=Path,
        metavar="DIR",
        help="directory of the task: task.py, more modules if it has some, data/ with files for every device, and "
        "requirements.txt, which com.fedgrass.Runtime is built with "
        "(default: the --task in gdk-config.json's custom_build_command; to change it for good, change it there)",
    )
    parser.add_argument(
        "--wheelhouse",
        type=Path,
        metavar="DIR",
        action="append",
        default=[],
        help="what `fedgrass wheelhouse` made for com.fedgrass.Runtime, whose devices then need no package index; once "
        "for each processor (default: those in gdk-config.json's custom_build_command)",
    )
    parser.add_argument(
        "--runtime",
        metavar="NAME",
        default=RUNTIME,
        help="the component with the Python environment, if you publish it under a name of your own; what counts is "
        "what gdk-config.json's custom_build_command says (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        default=Path("greengrass-build"),
        help="where recipes/ and artifacts/ are made (default: greengrass-build, where GDK expects them)",
    )
    parser.add_argument(
        "--no-check",
        action="store_true",
        help="build without trying the task out, and without asking AWS whether the version is published already "
        "(default: fedgrass check is called first, where there is one; NEXT_PATCH needs no asking)",
    )
    return parser


def main() -> int:
    """The command line; returns the exit status."""
    arguments = _parser().parse_args()
    try:
        config = read_config(Path())
        task = arguments.task or config.task
        if not arguments.no_check:
            if published_versions.has(config.name, config.version, config.region):
                _cleared(Path("recipe.yaml"), arguments.output, config)
                raise PublishedError(
                    f"gdk-config.json: version {config.version!r} of {config.name} is published already, and can't be "
                    "changed: to publish it again would overwrite its artifacts before it fails, and devices would "
                    'refuse them. Write "NEXT_PATCH", or a version that is new; --no-check builds it nevertheless'
                )
            if task is not None and is_faulty(task):
                sys.stderr.write(
                    "build.py: nothing was built, as the task has errors; --no-check builds it nevertheless\n"
                )
                return 1
        built = build(Path(), arguments.output, arguments.task, tuple(arguments.wheelhouse))
    except BuildError as error:
        sys.stderr.write("".join(f"build.py: {printable(line)}\n" for line in str(error).splitlines()))
        return 1
    told = f"{built.name} {built.version}: {built.recipe}, {built.artifacts}"
    sys.stdout.write("\n".join((*built.report, printable(told), "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
