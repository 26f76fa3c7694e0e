"""The command that brings together the packages of devices that can't download them."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands.options import Json, Result
from cli.screen import Screen

EXAMPLES = (
    "fedgrass wheelhouse wheels --arch aarch64",
    "fedgrass wheelhouse wheels --arch x86_64 --python 3.13",
    "fedgrass wheelhouse wheels --arch aarch64 --task my-federation --json",
)


def wheelhouse(
    out: Annotated[Path, typer.Argument(help="A new or empty folder, or an earlier wheelhouse.")],
    arch: Annotated[Literal["aarch64", "x86_64"], typer.Option(help="The devices' processor: `uname -m` there.")],
    task: Annotated[
        Path | None, typer.Option(help="A task's folder, whose requirements.txt is included.", show_default="none")
    ] = None,
    python: Annotated[
        Literal["3.11", "3.12", "3.13", "3.14"],
        typer.Option(help="The devices' Python: Debian 12 has 3.11, 13 has 3.13."),
    ] = "3.11",
    as_json: Json = False,
) -> Result:
    """Pack what devices without a package index need.

    They are what com.fedgrass.Runtime installs, without CUDA, for one kind of device; each has one of the hashes in the
    component's list. Any machine can do it. components/build.py takes the folder along with --wheelhouse, or put it on
    the device and name it in the component's configuration.

    FEDGRASS_INDEX_URL and FEDGRASS_TORCH_INDEX name other indexes than pypi.org and PyTorch's own.
    """
    from components.runtime.hash_requirements import INDEX_URL, TORCH_INDEX_URL
    from components.runtime.wheelhouse import make

    screen = Screen(quiet=as_json)
    made = make(
        out,
        arch,
        python,
        task,
        os.environ.get("FEDGRASS_INDEX_URL", INDEX_URL),
        os.environ.get("FEDGRASS_TORCH_INDEX", TORCH_INDEX_URL),
        screen.line,
    )
    screen.line(
        f"{made.wheels} wheels for Python {python} on {arch} in {out}: {made.bytes / 1e6:.0f} MB to download, "
        f"{made.unpacked_bytes / 1e6:.0f} MB installed, nothing of CUDA"
    )
    return made
