"""Makes a project's folder from a template: `cli/templates/<template>/`, and beside its files those of `common/`."""

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from cli.plurals import counted
from protocol.names import InvalidNameError, check_federation

CHECKOUT = Path(__file__).resolve().parent.parent
TEMPLATES = Path(__file__).parent / "templates"

_HIDDEN: Final = {"gitignore": ".gitignore"}
"""Files that would act on the templates themselves under the names that they get."""

_REGION: Final = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")

_OUTPUT_BYTES = 2000


class ProjectFolderInUseError(ValueError):
    """Something is in the folder already, or it can't be one."""


class MakeDataError(Exception):
    """make_data.py has failed; the text has what it said."""


def new_project(directory: Path, template: str, name: str | None, region: str | None = None) -> str:
    """Makes the folder, and gives the federation's name: `name`, or that of the folder. Its components are published in
    the `region`, if that is one.

    Raises:
        ProjectFolderInUseError: the folder is not empty.
        InvalidNameError: no federation can have this name; the text proposes one.
        OSError: a file can't be written.
    """
    _check_free(directory)
    checked = _checked_name(directory, name)
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CHECKOUT / "recipe.yaml", directory / "recipe.yaml")
    for folder in ("common", template):
        for file in sorted((TEMPLATES / folder).iterdir()):
            if file.is_file():
                text = file.read_text(encoding="utf-8")
                (directory / _HIDDEN.get(file.name, file.name)).write_text(
                    _filled(text, template, checked, region), "utf-8"
                )
    return checked


def make_data(directory: Path) -> None:
    """Runs the project's make_data.py; what it made of data/ is removed if it fails.

    Raises:
        MakeDataError: it has failed.
    """
    done = False
    try:
        ran = subprocess.run(
            [sys.executable, directory.absolute() / "make_data.py"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            check=False,
        )
        if ran.returncode:
            said = ran.stderr.strip()[-_OUTPUT_BYTES:]
            raise MakeDataError(
                f"{directory / 'make_data.py'} ended with status {ran.returncode}; the project is made, so mend this "
                f"and run it again:\n{said}"
            )
        done = True
    finally:
        if not done:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(directory / "data")


def next_commands(directory: Path, program: str) -> list[tuple[str, str]]:
    """What to type next, and what it does."""
    commands = {
        "check": "look for mistakes, in seconds",
        "simulate": "train it here, without AWS and devices",
        "run": "train it here with every real part: Greengrass, MQTT, functions",
    }
    return [(f"{program} {command} {shlex.quote(str(directory))}", meaning) for command, meaning in commands.items()]


def _filled(text: str, template: str, name: str, region: str | None) -> str:
    commands = "\n".join(
        [
            *(f"{command:50} # {meaning}" for command, meaning in next_commands(Path(), "fedgrass")),
            f"{'python -m pytest':50} # the test",
            f"{'python make_data.py':50} # make data/ anew, when it is removed",
        ]
    )
    filled = text.replace("@NAME@", name).replace("@FEDGRASS@", str(CHECKOUT)).replace("@COMMANDS@", commands)
    filled = filled.replace("@REGION@", region if region and _REGION.fullmatch(region) else "us-east-1")
    return re.sub(rf"^name: {template}$", f"name: {name}", filled, flags=re.MULTILINE)


def _check_free(directory: Path) -> None:
    if directory.is_symlink() and not directory.exists():
        raise ProjectFolderInUseError(f"{directory} is a link to nothing: name another folder")
    if directory.exists() and not directory.is_dir():
        raise ProjectFolderInUseError(f"{directory} is a file: name a folder that is not there yet")
    if directory.is_dir() and (there := sorted(path.name for path in directory.iterdir())):
        some = ", ".join(there[:5]) + (", ..." if len(there) > 5 else "")
        raise ProjectFolderInUseError(
            f"{directory} is not empty ({counted(len(there), 'entry')}: {some}): name a folder that is not there yet"
        )


def _checked_name(directory: Path, name: str | None) -> str:
    if name is not None:
        return check_federation(name)
    own = directory.resolve().name
    try:
        return check_federation(own)
    except InvalidNameError as error:
        proposed = re.sub("[^a-z0-9]+", "-", own.lower()).strip("-")[:40].strip("-") or "my-federation"
        raise InvalidNameError(f"{error}; add --name, such as --name {proposed}") from error
