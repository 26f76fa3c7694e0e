"""Have AWS and devices on this machine, for other commands."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.options import Json, Keep, Nucleus, Port, Result, Splitting
from cli.screen import Screen

if TYPE_CHECKING:
    from cli.sandboxes.place import SandboxState

EXAMPLES = (
    "fedgrass sandbox up",
    "fedgrass sandbox up my-federation --devices 3",
    "fedgrass sandbox up my-federation --data houses.csv --keep kept --json",
    "fedgrass sandbox status",
    "fedgrass sandbox status --json",
    "fedgrass sandbox down",
    "fedgrass sandbox down --name second --json",
)

_DOWN = {
    "up": "sandbox {} is down",
    "starting": "sandbox {} is down, before it was up",
    "killed": "what was left of sandbox {}, whose process was killed, is removed",
    "down": "sandbox {} was not up",
}


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise typer.BadParameter(f"{name!r} is no sandbox's name: use a-z, 0-9 and '-', at most 32 of them")
    return name


_Name = Annotated[str, typer.Option(help="Name of the sandbox.", callback=_checked_name)]


def up(
    project: Annotated[
        Path | None, typer.Argument(help="A federation.yaml, or its folder; default: no devices, no federation.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder with one folder a device, or data to split; default: data/ of the project."),
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, max=200, help="How many devices: the first of the data's; default: all.")
    ] = None,
    splitting: Splitting = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    nucleus: Nucleus = "classic",
    keep: Keep = None,
    port: Port = 0,
    name: _Name = "default",
    foreground: Annotated[bool, typer.Option("--foreground", help="Have it up in this process, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> Result:
    """Start the embedded AWS with fedgrass deployed; with a project, its devices and its federation as well.

    It stays up in the background, until `fedgrass sandbox down`. A line is shown that makes other commands of a shell
    work on it: start, status, update, ... If it is up already, the line is shown again.
    """
    from cli.project import load
    from cli.sandboxes import background
    from cli.sandboxes.place import Place

    place = Place(name)
    screen = Screen(stderr=as_json)
    show = functools.partial(_show, screen)
    loaded = load(project) if project else None
    path = loaded.path.absolute() if loaded else None
    if foreground:
        from cli.project_data import DataOptions, data_of
        from cli.sandboxes import serving
        from sandbox.nucleus.personality import FLEETS

        content = None
        if loaded is not None:
            of = DataOptions(data=data, clients=devices, split=splitting, seed=seed)
            content = serving.Content(loaded, functools.partial(data_of, loaded, of), FLEETS[nucleus])
        serving.serve(place, content, port, keep, screen.line, show)
    was_up = place.holder() is not None
    if was_up:
        state = background.wait(place)
        background.check_same(state, path)
        screen.line(f"sandbox {name} is up already")
    else:
        given = {"data": data and data.absolute(), "devices": devices, "split": splitting, "seed": seed}
        given |= {"nucleus": nucleus, "keep": keep and keep.absolute(), "port": port, "name": name}
        options = [f"--{option}={value}" for option, value in given.items() if value is not None]
        state = background.start(place, [*options, *([str(path)] if path else [])], screen.line)
    show(state)
    return {"name": name, "condition": "up", "was_up": was_up, "log": str(place.log), "sandbox": state}


def down(name: _Name = "default", as_json: Json = False) -> Result:
    """End a sandbox: its devices, the embedded AWS, all of their files.

    What is left of one that was killed is removed.
    """
    from cli.sandbox_end import has_kept, kept_in
    from cli.sandboxes import background
    from cli.sandboxes.place import Place

    place = Place(name)
    before = place.condition()
    state = background.stop(place)
    screen = Screen(quiet=as_json)
    screen.line(_DOWN[before].format(name))
    kept = state.keep if state is not None and state.keep is not None and has_kept(Path(state.keep)) else None
    if kept is not None:
        screen.line(kept_in(kept))
    return {"name": name, "condition": "down", "before": before, "kept": kept}


def status(name: _Name = "default", as_json: Json = False) -> Result:
    """Say whether a sandbox is up, and how to work on it.

    It may be up, starting, down, or killed: then something is left of it that `fedgrass sandbox down` removes.
    """
    from cli.sandboxes.place import Place

    place = Place(name)
    condition, state = place.condition(), place.state()
    screen = Screen(quiet=as_json)
    screen.line(f"sandbox {name} is {condition}")
    if condition == "up" and state is not None:
        _show(screen, state)
    return {"name": name, "condition": condition, "log": str(place.log), "sandbox": state}


def _show(screen: Screen, state: "SandboxState") -> None:
    from cli.plurals import counted
    from cli.project_sandbox import shell_line

    if state.federation is not None:
        screen.line(f"federation {state.federation} with {counted(state.devices, 'device')}")
    screen.line("commands of this shell work on it after this line:")
    screen.line(shell_line(state.environment))
