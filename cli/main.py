"""The fedgrass command: what it is told, and what it says. The work is done elsewhere."""

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import boto3
import msgspec
import typer
from botocore.exceptions import BotoCoreError, ClientError
from typer.exceptions import TyperException

from cli import federations, model_warnings, readiness, split
from cli.counting import counted
from cli.digits import DigitsError, from_directory, packaged
from cli.failures import HELP
from cli.planning.forecast import forecast
from cli.planning.models import headers_of, model_of
from cli.planning.prices import UnknownRegionError
from cli.planning.tables import tables
from cli.project import ProjectError, load
from cli.readiness import NotReadyError, UnknownGroupError
from cli.screen import Screen, write_json
from cli.split import ImpossibleSplitError, InvalidSplitError, ShardsExistError
from cli.table import Table
from cli.timeline import show_timeline
from cloud.averager.work.sharding import TooMuchWorkError
from cloud.averaging.grid import MAX_MODEL_BYTES
from cloud.settings import MAX_COHORT, Averaging, Download, Rule
from cloud.state.federations import FederationExistsError, UnknownFederationError, WrongStatusError
from cloud.state.records import CorruptRecordError, FederationRecord, RoundRecord
from cloud.state.rounds import UnknownRoundError
from components.client import what_leaves as what_leaves_a_device
from components.client.sealed import TornFileError
from components.client.what_leaves import NoWorkDirectoryError
from operations import deployment
from operations import packaging as package
from operations.expulsion import Expulsion, UnknownThingError
from operations.federations import NoModelError, NoRoundError, Operations, RoundUnderWayError
from operations.packaging import PackagingError
from operations.stacks import DeploymentError
from operations.steps import Step
from protocol.messages import Encoding, InvalidMessageError, ModelHeader
from protocol.names import InvalidNameError
from protocol.tensors import InvalidTensorsError

app = typer.Typer(
    help="Serverless federated learning for AWS IoT Greengrass V2 fleets.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_EXPECTED = (
    BotoCoreError,
    ClientError,
    CorruptRecordError,
    DeploymentError,
    DigitsError,
    FederationExistsError,
    ImpossibleSplitError,
    InvalidMessageError,
    InvalidNameError,
    InvalidTensorsError,
    InvalidSplitError,
    NoModelError,
    NoRoundError,
    NoWorkDirectoryError,
    NotReadyError,
    OSError,
    PackagingError,
    ProjectError,
    RoundUnderWayError,
    ShardsExistError,
    TooMuchWorkError,
    TornFileError,
    UnknownFederationError,
    UnknownRegionError,
    UnknownRoundError,
    UnknownThingError,
    WrongStatusError,
)

REGION = "us-east-1"
ProjectPath = Annotated[Path, typer.Argument(help="A federation.yaml, or the folder it lies in.")]
FederationName = Annotated[str, typer.Argument(help="Name of the federation.")]


def _stack_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{0,127}", name):
        raise typer.BadParameter(f"{name!r} is no stack's name: use a-z, A-Z, 0-9 and '-', and begin with a letter")
    return name


Stack = Annotated[str, typer.Option(help="Name of the CloudFormation stack.", callback=_stack_name)]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text.")]
DataDirectory = Annotated[
    Path | None, typer.Option("--data", help="Folder with the four IDX files of MNIST; default: 5,000 packaged digits.")
]


def main() -> None:
    """Entry point: errors that a user can do something about are one line, not a trace."""
    from cli.demo import DemoError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what its encoding does not have
    try:
        status = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except TyperException as error:
        usage = getattr(error, "ctx", None)
        hint = f"; see {usage.command_path} --help" if usage else ""
        fail(error.format_message().rstrip(".") + hint, error.exit_code)
    except DemoError as error:
        fail(str(error), error.status)
    except _EXPECTED as error:
        fail(str(error))
    sys.exit(status or 0)


def fail(message: str, status: int = 1) -> NoReturn:
    """End with an error message."""
    Screen(stderr=True).error(message)
    sys.exit(status)


def _client(service: str) -> Any:
    session: Any = boto3.Session()  # its stubs take literal service names only
    return session.client(service)


def _operations(stack: str) -> Operations:
    return Operations(_client, deployment.find(_client, stack))


@app.command()
def what_leaves(
    directory: Annotated[Path, typer.Argument(help="The work directory of com.fedgrass.Client, or a copy of it.")],
    as_json: Json = False,
) -> None:
    """Say what leaves a device: updates, its hello, its report."""
    leaving = what_leaves_a_device.look(directory)
    if as_json:
        write_json(leaving)
    else:
        Screen().lines(what_leaves_a_device.render(leaving))


@app.command(epilog=HELP)
def demo(
    project: Annotated[
        Path | None, typer.Argument(help="A federation.yaml to run; default: the digits that come with fedgrass.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, max=200, help="How many devices.")] = 8,
    rounds: Annotated[int | None, typer.Option(min=1, help="How many rounds; default: federation.yaml's.")] = None,
    data: DataDirectory = None,
    splitting: Annotated[
        str, typer.Option("--split", help="iid, labels:K (K labels a client) or dirichlet:ALPHA.")
    ] = "iid",
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
) -> None:
    """Run federated rounds on this machine, with every real part.

    Functions, queues, MQTT and devices are those of a deployment: only the endpoints differ.
    """
    from cli.demo import run_demo
    from sandbox.nucleus.personality import FLEETS

    run_demo(
        project=project,
        devices=devices,
        rounds=rounds,
        data=data,
        split=split.parse_split(splitting),
        seed=seed,
        port=port,
        nuclei=FLEETS[nucleus],
        chaos=chaos,
        as_json=as_json,
    )


@app.command("plan")
def plan_command(
    clients: Annotated[int, typer.Option(min=1, max=MAX_COHORT, help="How many clients send an update.")],
    model_bytes: Annotated[
        int | None, typer.Option(min=1, max=MAX_MODEL_BYTES, help="Size of the model, taken as float32.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Instead of the size: a model's safetensors file.", exists=True, dir_okay=False)
    ] = None,
    rule: Annotated[Rule, typer.Option(help="averaging.rule of federation.yaml.")] = "weighted",
    encoding: Annotated[Encoding, typer.Option(help="encoding of federation.yaml.")] = "float32",
    optimizer: Annotated[
        Literal["fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi"],
        typer.Option(help="averaging.optimizer of federation.yaml: some keep a state beside the model."),
    ] = "fedavg",
    ema: Annotated[float, typer.Option(min=0, max=0.999999, help="averaging.ema: above 0, an average is kept.")] = 0.0,
    download: Annotated[Download, typer.Option(help="download of federation.yaml.")] = "model",
    shards: Annotated[int | None, typer.Option(min=1, help="averaging.shards; default: as the sizes ask for.")] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Region whose prices count.", show_default=f"your AWS configuration's, else {REGION}"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a round will take: calls, time, memory, dollars.

    Nothing is asked of AWS, and the same arguments always give the same answer. It is the round in which every client
    sends a good update, each at another time. What the devices' own work takes is not in it.

    Its calls are within 15 % of a real round's; but reads of S3 are the most that there can be, since an update that is
    in memory is not read again.

    It is a round that waits for its clients. Of a federation with a max_staleness, give its target as the clients: so
    many updates are averaged, and about as many assignments made. Each update that comes late takes two calls more, and
    each model that late ones were trained from two and the reads of its buffers and integers, if it has any.
    """
    if (model is None) == (model_bytes is None):
        raise typer.BadParameter("give either --model-bytes or --model")
    header, about = headers_of(model) if model else (model_of(model_bytes or 0), ModelHeader(federation="f", round=0))
    averaging = msgspec.convert(
        {"rule": rule, "optimizer": {"name": optimizer}, "ema": ema, "shards": shards}, Averaging
    )
    region = region or boto3.Session().region_name or REGION
    found = forecast(header, about, clients, averaging, encoding, region, copied=download == "bfloat16")
    if as_json:
        write_json(found)
        return
    screen = Screen()
    for part in tables(found):
        if isinstance(part, Table):
            screen.table(part)
        else:
            screen.line(part)


@app.command("split")
def split_command(
    directory: Annotated[Path, typer.Argument(help="An empty or new folder for the shards.")],
    clients: Annotated[int, typer.Option(min=1, help="How many clients: device-000, device-001, ...")] = 8,
    data: DataDirectory = None,
    splitting: Annotated[
        str, typer.Option("--split", help="iid, labels:K (K labels a client) or dirichlet:ALPHA.")
    ] = "iid",
    seed: Annotated[int, typer.Option(help="The same seed gives the same shards.")] = 0,
    as_json: Json = False,
) -> None:
    """Share MNIST out among clients, a folder of IDX files each.

    A part is held out, which no client has.
    """
    source = from_directory(data) if data else packaged()
    names = device_names(clients)
    shards = split.write_shards(source, directory, names, split.parse_split(splitting), seed)
    if as_json:
        write_json({"holdout": str(shards.holdout), "clients": shards.counts})
        return
    screen = Screen()
    rows = [
        (name, str(sum(counts.values())), *(str(counts.get(label, "")) for label in range(10)))
        for name, counts in shards.counts.items()
    ]
    screen.table(Table(columns=("client", "examples", *map(str, range(10))), rows=rows))
    screen.line(
        f"shards in {directory / 'clients'}, {len(source.holdout.labels)} held-out examples in {shards.holdout}"
    )


def device_names(count: int) -> list[str]:
    """Names for so many devices, in an order that sorting keeps."""
    return [f"device-{number:03d}" for number in range(count)]


@app.command()
def deploy(
    projects: Annotated[
        list[Path] | None, typer.Argument(help="Federations whose policies.py the functions take along.")
    ] = None,
    stack: Stack = "fedgrass",
    update_retention_days: Annotated[int, typer.Option(min=1, help="Days after which updates are deleted.")] = 30,
    alarm_topic: Annotated[
        str | None,
        typer.Option(help="ARN of the SNS topic that alarms go to, from now on.", show_default="as it was"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make or update the stack in your credentials' AWS account.

    It has the bucket, tables, queues and functions.

    Rules of federations that are not named here stay as they were deployed.
    """
    policies = deployment.deployed_policies(_client, stack)
    for path in projects or []:
        policies |= load(path).policies
    layer = package.dependencies(package.LAMBDA, package.cache_directory())
    made = deployment.deploy(_client, stack, package.code(policies), layer, update_retention_days, alarm_topic)
    if as_json:
        write_json(made)
        return
    screen = Screen()
    rows = [(field, getattr(made, field)) for field in made.__struct_fields__]
    screen.table(Table(columns=("output", "value"), rows=rows, texts=frozenset({"value"})))
    screen.line(
        f"Attach {made.device_policy_arn} to the role of your token exchange service, and the IoT policy "
        f"{made.device_iot_policy_name} to your devices' certificates."
    )


@app.command()
def init(project: ProjectPath, stack: Stack = "fedgrass", as_json: Json = False) -> None:
    """Make a federation: check its folder, upload its first model.

    What is checked: federation.yaml, task.py, policies.py, and whether its rules are deployed and its thing group, if
    there is one already, is large enough.
    """
    checked = load(project)
    operations = _operations(stack)
    to_do = None
    try:
        readiness.check(_client, stack, checked.settings, checked.policies.get(checked.settings.name))
    except UnknownGroupError as error:
        to_do = str(error)  # there is time until the start
    record = federations.create(operations, checked, federations.initial_model(checked))
    if as_json:
        write_json(record)
        return
    if to_do is not None:
        Screen().line(f"before the start: {to_do}")
    Screen().line(f"federation {record.federation} is ready: model {record.model.key}, {record.model.bytes:,} bytes")
    Screen().line(f"start it: fedgrass start {record.federation} --stack {stack}")


@app.command()
def start(federation: FederationName, stack: Stack = "fedgrass") -> None:
    """Let a federation's rounds begin."""
    operations = _operations(stack)
    readiness.check(_client, stack, operations.federations.get(federation).settings)
    record = operations.start(federation)
    Screen().line(f"federation {federation} runs: {counted(record.settings.rounds - record.round, 'round')} to go")


@app.command()
def pause(federation: FederationName, stack: Stack = "fedgrass") -> None:
    """Let no further round open; an open one goes on to its end."""
    record = _operations(stack).pause(federation)
    Screen().line(
        f"federation {federation} is paused: no round after {record.round + 1} opens, and that only if it has"
    )


@app.command()
def resume(federation: FederationName, stack: Stack = "fedgrass") -> None:
    """Let a paused federation go on."""
    operations = _operations(stack)
    readiness.check(_client, stack, operations.federations.get(federation).settings)
    record = operations.start(federation)
    Screen().line(f"federation {federation} goes on with round {record.round + 1}")


@app.command("abort-round")
def abort_round(
    federation: FederationName,
    reason: Annotated[str, typer.Option(help="Goes into the round's record.")] = "aborted by the operator",
    stack: Stack = "fedgrass",
) -> None:
    """End the round that is under way without a model.

    The next one starts from the same model.
    """
    record = _operations(stack).abort_round(federation, reason)
    if record.status == "closed":
        Screen().line(f"round {record.round} of {federation} had closed before it could be aborted")
    else:
        Screen().line(f"round {record.round} of {federation} is aborted: {record.reason}")


ThingName = Annotated[str, typer.Argument(help="Name of the thing in AWS IoT.")]
Bounds = Annotated[
    list[str] | None,
    typer.Option("--federation", help="From the rounds of this one only; may be repeated.", show_default="all"),
]
Rehearsal = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.command()
def expel(
    thing: ThingName,
    federation: Bounds = None,
    rehearsal: Rehearsal = False,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> None:
    """Expel a device: from all rounds, from S3 and from AWS IoT.

    Nothing of it counts any more, in the round that is open neither; the others' rounds go on. Without --federation
    credentials that it has allow nothing from now on, its certificate is deactivated, and it is taken out of the
    federations' thing groups. Given again, it does what is not done yet. Ends with status 1 if a step remains.
    """
    expulsion = Expulsion(_client, deployment.find(_client, stack), thing, federation or (), rehearsal=rehearsal)
    _tell_steps(thing, expulsion.expel(), as_json=as_json)


@app.command()
def readmit(
    thing: ThingName,
    federation: Bounds = None,
    rehearsal: Rehearsal = False,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> None:
    """Take an expulsion back, with the same --federation.

    The device takes part from the next round on. Its thing groups are named, for nobody has noted which it was in.
    """
    expulsion = Expulsion(_client, deployment.find(_client, stack), thing, federation or (), rehearsal=rehearsal)
    _tell_steps(thing, expulsion.readmit(), as_json=as_json)


def _tell_steps(thing: str, steps: Iterator[Step], *, as_json: bool) -> None:
    """Tell each step when it is taken; ends with status 1 if one remains."""
    taken = []
    for step in steps:
        taken.append(step)
        if not as_json:
            Screen().line(f"{step.outcome}: {step.what}" + (f": {step.note}" if step.note else ""))
    if as_json:
        write_json({"thing": thing, "steps": taken})
    if any(step.outcome == "remains" for step in taken):
        raise typer.Exit(1)


@app.command()
def rollback(
    federation: FederationName,
    to: Annotated[int, typer.Option("--to", min=0, metavar="ROUND", help="0 is the initial model.")],
    stack: Stack = "fedgrass",
) -> None:
    """Make an earlier round's model the current one. The federation has to be paused; no model is deleted."""
    record = _operations(stack).roll_back(federation, to)
    Screen().line(f"the next round of {federation}, {record.round + 1}, starts from {record.model.key}")


@app.command()
def status(
    federation: Annotated[str | None, typer.Argument(help="Name of a federation; default: all.")] = None,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> None:
    """Show federations: how far they are, and their current models."""
    operations = _operations(stack)
    records = [operations.federations.get(federation)] if federation else operations.federations.all()
    made_by = {record.federation: operations.made_by(record) for record in records}
    if as_json:
        write_json([_with_warnings(record, made_by[record.federation]) for record in records])
        return
    rows = [
        (
            record.federation,
            record.status,
            str(record.round),
            str(record.settings.rounds),
            str(sum(client.thing not in record.expelled for client in operations.clients.of(record.federation))),
            record.model.key,
        )
        for record in records
    ]
    columns = ("federation", "status", "round", "of", "clients", "model")
    screen = Screen()
    screen.table(Table(columns=columns, rows=rows, texts=frozenset({"status", "model"})))
    for record in records:
        if record.expelled:
            screen.line(f"{record.federation}: expelled: {', '.join(record.expelled)}")
    for name, made in made_by.items():
        for line in model_warnings.lines(made.not_finite, made.warnings) if made else ():
            screen.line(f"{name}: {line}")


def _with_warnings(record: FederationRecord, made: RoundRecord | None) -> dict[str, Any]:
    """A federation's record, and what is wrong with its current model."""
    found = {"not_finite": made.not_finite, "warnings": made.warnings} if made else {"not_finite": {}, "warnings": ()}
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields | found


@app.command()
def timeline(
    federation: FederationName,
    round_number: Annotated[int, typer.Argument(metavar="ROUND", help="Number of the round.")],
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> None:
    """Show what happened when in a round, for each client."""
    operations = _operations(stack)
    record = operations.rounds.get(federation, round_number)
    answers = operations.rounds.answers(federation, round_number)
    if as_json:
        write_json({"round": record, "answers": answers})
        return
    show_timeline(Screen(), record, answers)


if __name__ == "__main__":
    main()
