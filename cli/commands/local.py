"""Commands that need no AWS: what leaves a device, a demo, data to try things out with."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands.options import DataDirectory, Json, Result, Splitting
from cli.screen import Screen
from cli.table import Table

EXAMPLES = (
    "fedgrass what-leaves /greengrass/v2/work/com.fedgrass.Client",
    "fedgrass what-leaves work/com.fedgrass.Client --json",
    "fedgrass demo",
    "fedgrass demo my-federation --devices 4 --rounds 20 --nucleus mixed",
    "fedgrass demo --rounds 10 --chaos --json",
    "fedgrass split shards",
    "fedgrass split shards --clients 20 --split labels:2 --seed 7",
    "fedgrass split shards --data mnist --split dirichlet:0.5 --json",
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
    splitting: Splitting = "iid",
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
    from cli.split import parse_split
    from sandbox.nucleus.personality import FLEETS

    return run_demo(
        project=project,
        devices=devices,
        rounds=rounds,
        data=data,
        split=parse_split(splitting),
        seed=seed,
        port=port,
        nuclei=FLEETS[nucleus],
        chaos=chaos,
        as_json=as_json,
    )


def split(
    directory: Annotated[Path, typer.Argument(help="An empty or new folder for the shards.")],
    clients: Annotated[int, typer.Option(min=1, help="How many clients: device-000, device-001, ...")] = 8,
    data: DataDirectory = None,
    splitting: Splitting = "iid",
    seed: Annotated[int, typer.Option(help="The same seed gives the same shards.")] = 0,
    as_json: Json = False,
) -> Result:
    """Share MNIST out among clients, a folder of IDX files each.

    A part is held out, which no client has.
    """
    from cli.digits import from_directory, packaged
    from cli.split import parse_split, write_shards

    source = from_directory(data) if data else packaged()
    names = device_names(clients)
    shards = write_shards(source, directory, names, parse_split(splitting), seed)
    screen = Screen(quiet=as_json)
    rows = [
        (name, str(sum(counts.values())), *(str(counts.get(label, "")) for label in range(10)))
        for name, counts in shards.counts.items()
    ]
    screen.table(Table(columns=("client", "examples", *map(str, range(10))), rows=rows))
    screen.line(
        f"shards in {directory / 'clients'}, {len(source.holdout.labels)} held-out examples in {shards.holdout}"
    )
    return {"holdout": str(shards.holdout), "clients": shards.counts}


def device_names(count: int) -> list[str]:
    """Names for so many devices, in an order that sorting keeps."""
    return [f"device-{number:03d}" for number in range(count)]
