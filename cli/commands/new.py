"""The command that makes a project to begin with."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands.options import Json, Result
from cli.screen import Screen

EXAMPLES = (
    "fedgrass new my-digits",
    "fedgrass new my-watches --template sensor",
    "fedgrass new work/cars --template tabular --name cars --no-data",
)


def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet, or empty.")],
    template: Annotated[
        Literal["vision", "tabular", "sensor", "text", "blank"],
        typer.Option(help="Pictures, a regression on a table, time series, sentences, or the least."),
    ] = "vision",
    name: Annotated[str | None, typer.Option(help="The federation's name; default: the folder's.")] = None,
    data: Annotated[bool, typer.Option("--data/--no-data", help="Make its data at once.")] = True,
    as_json: Json = False,
) -> Result:
    """Make a project: a task, settings, data to begin with.

    It trains as it is: change it piece by piece into yours. Its gdk-config.json has the Region of your AWS
    configuration, us-east-1 without one.
    """
    from botocore.exceptions import BotoCoreError

    from cli.new_project import make_data, new_project, next_commands
    from cli.planning.region import own_region

    try:
        region = own_region()
    except BotoCoreError:  # nothing is asked of AWS yet
        region = None
    screen = Screen(quiet=as_json)
    checked = new_project(directory, template, name, region)
    if data:
        make_data(directory)
    files = sorted(path.name for path in directory.iterdir())
    screen.line(f"{directory} has the federation {checked}: {', '.join(files)}")
    program = sys.argv[0] if Path(sys.argv[0]).name == "fedgrass" else "fedgrass"
    commands = next_commands(directory, program)
    screen.line("next:")
    width = max((len(command) for command, _ in commands), default=0)
    for command, meaning in commands:
        screen.line(f"  {command:{width}}  # {meaning}")
    return {
        "directory": str(directory),
        "name": checked,
        "template": template,
        "files": files,
        "next": [command for command, _ in commands],
    }
