"""The command that shares data of one's own out among clients."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import Json, Result, Splitting
from cli.screen import Screen

EXAMPLES = (
    "fedgrass split measurements.csv shared --split by:machine",
    "fedgrass split photos shared --clients 20 --split labels:2 --seed 7",
    "fedgrass split mnist shared --clients 100 --split dirichlet:0.5 --json",
    "fedgrass split data.npz shared --names pi-kitchen,pi-garage --holdout 10%",
)

_CLIENTS = 8


def split(
    source: Annotated[
        Path,
        typer.Argument(
            help="A CSV, Parquet, NPZ or NPY file, a folder of such, of pictures (a folder a label), or of IDX files."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="An empty or new folder, for clients/, holdout/ and split.json.")],
    clients: Annotated[
        int | None, typer.Option(min=1, help="How many clients; default: 8, or one for each value of by:COLUMN.")
    ] = None,
    splitting: Splitting = None,
    label: Annotated[
        str | None, typer.Option(help="The column of labels; default: label, class, target or y, if there is one.")
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            help="Share that no client gets: 20% (the default), 0%; with by:COLUMN of each client, or clients:20%."
        ),
    ] = None,
    names: Annotated[
        str | None, typer.Option(help="The clients' thing names, with commas between; default: device-000, ...")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same split.")] = 0,
    as_json: Json = False,
) -> Result:
    """Share your data out among clients, a folder each.

    A part is held out, which no client has, to judge the global model on.
    """
    from cli.datasets.dividing import Request, parse_holdout
    from cli.datasets.opening import open_source
    from cli.datasets.plot import draw
    from cli.datasets.showing import show
    from cli.datasets.splitting import parse_split
    from cli.datasets.writing import share_out

    how = parse_split(splitting or "iid")
    named = tuple(name.strip() for name in names.split(",")) if names else ()
    count = clients if clients is not None or named or how.kind == "by" else _CLIENTS
    request = Request(how, count, named, label, parse_holdout(holdout) if holdout else None, seed)
    written = share_out(open_source(source), request, out, draw)
    show(written.record, out, Screen(quiet=as_json))
    folders = {name: str(path) for name, path in written.clients.items()}
    return {
        "clients": folders,
        "holdout": None if written.holdout is None else str(written.holdout),
        "record": written.record,
    }
