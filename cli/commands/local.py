"""Commands that need no AWS: what leaves a device, and a demo."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands.options import DataDirectory, Json, Result, Splitting
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
    rounds: Annotated[int | None, typer.Option(min=1, help="How many rounds; default: federation.yaml's.")] = None,
    data: DataDirectory = None,
    splitting: Splitting = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the embedded AWS; 0: a free one.")] = 0,
    nucleus: Annotated[
        Literal["classic", "lite", "mixed"],
        typer.Option(help="Which Greengrass nucleus the devices run; mixed: in turn."),
    ] = "classic",
    chaos: Annotated[
        bool,
        typer.Option("--chaos", help="Run again with faults: devices and an averager killed, lines cut, ..."),
    ] = False,
    as_json: Json = False,
) -> Result:
    """Run federated rounds on this machine, with every real part.

    Functions, queues, MQTT and devices are those of a deployment: only the endpoints differ.
    It fails if no round made a model, if more than half of the rounds made none, or if more than half of the devices
    failed in the last.
    """
    from cli.demo import run_demo
    from sandbox.nucleus.personality import FLEETS

    return run_demo(
        project=project,
        devices=devices,
        rounds=rounds,
        data=data,
        split=splitting,
        seed=seed,
        port=port,
        nuclei=FLEETS[nucleus],
        chaos=chaos,
        as_json=as_json,
    )
