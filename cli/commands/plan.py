"""The command that says what a round will take."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from cli.commands.options import Json, Result
from cli.planning.region import own_region
from cli.screen import Screen
from cli.table import Table
from cloud.averaging.part_sizes import MAX_MODEL_BYTES
from cloud.pricing.prices import REGION
from cloud.settings import MAX_COHORT, Averaging, Download, RuleName, SelectionPolicyName
from protocol.messages import Encoding, ModelHeader

EXAMPLES = (
    "fedgrass plan --model-bytes 46796608 --clients 40",
    "fedgrass plan --model model.safetensors --clients 200 --rule median --json",
    "fedgrass plan --model-bytes 4000000 --clients 1000 --encoding int8 --region eu-central-1",
    "fedgrass plan --model-bytes 4000000 --clients 100 --fleet 100000 --policy random",
)


def plan(
    clients: Annotated[int, typer.Option(min=1, max=MAX_COHORT, help="How many clients send an update.")],
    fleet: Annotated[
        int | None, typer.Option(min=1, help="How many clients there are to select from.", show_default="--clients")
    ] = None,
    policy: Annotated[SelectionPolicyName, typer.Option(help="selection.policy of federation.yaml.")] = "balanced",
    model_bytes: Annotated[
        int | None, typer.Option(min=1, max=MAX_MODEL_BYTES, help="Size of the model, taken as float32.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Instead of the size: a model's safetensors file.", exists=True, dir_okay=False)
    ] = None,
    rule: Annotated[RuleName, typer.Option(help="averaging.rule of federation.yaml.")] = "weighted",
    encoding: Annotated[Encoding, typer.Option(help="encoding of federation.yaml.")] = "float32",
    optimizer: Annotated[
        Literal["fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi"],
        typer.Option(help="averaging.optimizer of federation.yaml: some keep a state beside the model."),
    ] = "fedavg",
    ema: Annotated[float, typer.Option(min=0, max=0.999999, help="averaging.ema: above 0, an average is kept.")] = 0.0,
    download: Annotated[Download, typer.Option(help="download of federation.yaml.")] = "model",
    evaluates: Annotated[
        bool, typer.Option("--evaluates", help="A round in which clients evaluate, and nobody trains.")
    ] = False,
    shards: Annotated[int | None, typer.Option(min=1, help="averaging.shards; default: as the sizes ask for.")] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Region whose prices count.", show_default=f"your AWS configuration's, else {REGION}"),
    ] = None,
    as_json: Json = False,
) -> Result:
    """Say what a round will take: calls, time, memory, dollars.

    Nothing is asked of AWS, and the same arguments always give the same answer. It is the round in which every client
    sends a good update, each at another time. What the devices' own work takes is not in it.

    Its calls are within 15 % of a real round's; but reads of S3 are the most that there can be, since an update that is
    in memory is not read again.

    With a --fleet, the clients are selected from so many; what a month costs is that of all of them.

    It is a round that waits for its clients. Of a federation with a max_staleness, give its target as the clients: so
    many updates are averaged, and about as many assignments made. Each update that comes late takes two calls more, and
    each model that late ones were trained from two and the reads of its buffers and integers, if it has any.
    """
    from cli.planning.forecast import forecast
    from cli.planning.models import headers_of, model_of
    from cli.planning.tables import tables

    if (model is None) == (model_bytes is None):
        raise typer.BadParameter("give either --model-bytes or --model")
    header, about = headers_of(model) if model else (model_of(model_bytes or 0), ModelHeader(federation="f", round=0))
    averaging = msgspec.convert(
        {"rule": rule, "optimizer": {"name": optimizer}, "ema": ema, "shards": shards}, Averaging
    )
    region = region or own_region() or REGION
    if fleet is not None and fleet < clients:
        raise typer.BadParameter(f"--clients {clients} can't be selected from a --fleet of {fleet}")
    found = forecast(
        header,
        about,
        clients,
        averaging,
        encoding,
        region,
        has_bfloat16=download == "bfloat16",
        fleet=fleet,
        policy=policy,
        evaluates=evaluates,
    )
    screen = Screen(quiet=as_json)
    for part in tables(found):
        if isinstance(part, Table):
            screen.table(part)
        else:
            screen.line(part)
    return found
