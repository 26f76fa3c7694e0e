"""The command that runs a project's federation on this machine."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import Json, Keep, Nucleus, Port, ProjectPath, Result, Rounds, Splitting, Track

EXAMPLES = (
    "fedgrass run my-federation",
    "fedgrass run my-federation --data houses.csv --split by:region",
    "fedgrass run my-federation --devices 3 --rounds 5 --keep kept --json",
)


def run(
    project: ProjectPath,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder with one folder a device, or data to split; default: data/ of the project."),
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, max=200, help="How many devices: the first of the data's; default: all.")
    ] = None,
    rounds: Rounds = None,
    splitting: Splitting = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    nucleus: Nucleus = "classic",
    keep: Keep = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; default: a new one in runs/.")] = None,
    track: Track = None,
    port: Port = 0,
    as_json: Json = False,
) -> Result:
    """Run a federation with all real parts, on data of your own.

    There is a device for each folder of the data. Functions, queues, MQTT and devices are those of a deployment: only
    the endpoints differ. While it runs, a line is shown that makes other commands of another shell work on it. It fails
    if no round made a model, if more than half of the rounds made none, or if more than half of the devices failed in
    the last.
    """
    from cli.free_folder import free_run_folder
    from cli.project import load
    from cli.project_data import DataOptions, data_of
    from cli.project_run import run_command
    from cli.run_options import RunOptions
    from sandbox.nucleus.personality import FLEETS

    loaded = load(project, rounds=rounds)
    out = out or free_run_folder(loaded.settings.name)
    return run_command(
        loaded,
        functools.partial(data_of, loaded, DataOptions(data=data, clients=devices, split=splitting, seed=seed)),
        RunOptions(nuclei=FLEETS[nucleus], port=port, keep=keep, out=out, track=track),
        as_json=as_json,
    )
