"""Commands that need no AWS: what leaves a device, and a demo."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import DataDirectory, Json, Keep, Nucleus, Port, Result, Rounds, Splitting
from cli.screen import Screen

EXAMPLES = (
    "fedgrass what-leaves /greengrass/v2/work/com.fedgrass.Client",
    "fedgrass what-leaves work/com.fedgrass.Client --json",
    "fedgrass demo",
    "fedgrass demo my-federation --devices 4 --rounds 20 --nucleus mixed",
    "fedgrass demo my-federation --data shared --devices 5",
    "fedgrass demo --rounds 10 --chaos --json",
)


def what_leaves(
    directory: Annotated[Path, typer.Argument(help="The work directory of com.fedgrass.Client, or a copy of it.")],
    as_json: Json = False,
) -> Result:
    """Say what leaves a device: updates, its hello, its report."""
    from components.client.what_leaves import leaving_of, render

    leaving = leaving_of(directory)
    Screen(quiet=as_json).lines(render(leaving))
    return leaving


def demo(
    project: Annotated[
        Path | None, typer.Argument(help="A federation.yaml to run; default: the digits that come with fedgrass.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, max=200, help="How many devices.")] = 8,
    rounds: Rounds = None,
    data: DataDirectory = None,
    splitting: Splitting = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    port: Port = 0,
    nucleus: Nucleus = "classic",
    chaos: Annotated[
        bool,
        typer.Option(
            "--chaos",
            help="Run again with faults: devices and an averager killed, lines cut, ... "
            "--keep and --out are of this run alone.",
        ),
    ] = False,
    keep: Keep = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; default: a new one in runs/.")] = None,
    as_json: Json = False,
) -> Result:
    """Run federated rounds on digits that come with fedgrass.

    It is `fedgrass run`, with data to begin with. Functions, queues, MQTT and devices are those of a deployment: only
    the endpoints differ. It fails if no round made a model, if more than half of the rounds made none, or if more than
    half of the devices failed in the last.
    """
    from cli import chaos as chaotic
    from cli.client_data import ClientData, clients_of, clients_of_digits
    from cli.free_folder import free_run_folder
    from cli.project import load
    from cli.project_data import EXAMPLE
    from cli.project_run import run_command
    from cli.run_options import RunOptions
    from sandbox.nucleus.personality import FLEETS

    def clients(scratch: Path) -> ClientData:
        if data is None:
            return clients_of_digits(clients=devices, split=splitting, seed=seed, scratch=scratch)
        return clients_of(data, clients=devices, split=splitting, seed=seed, scratch=scratch)

    loaded = load(project or EXAMPLE, rounds=rounds, **(chaotic.SETTINGS if chaos else {}))
    return run_command(
        loaded,
        clients,
        RunOptions(nuclei=FLEETS[nucleus], port=port, keep=keep, out=out or free_run_folder(loaded.settings.name)),
        as_json=as_json,
        chaos=chaotic.ChaosOptions(seed, devices) if chaos else None,
    )
