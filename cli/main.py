"""The fedgrass command: its commands, in the order in which it lists them, and how it ends when one fails."""

import io
import sys
from typing import NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from typer.exceptions import TyperException

from cli.commands import deployment, devices, local, plan, rounds, status, update
from cli.demo_failures import HELP
from cli.digits import DigitsError
from cli.planning.prices import UnknownRegionError
from cli.preflight import NotReadyError
from cli.project import ProjectError
from cli.screen import Screen
from cli.split import ImpossibleSplitError, InvalidSplitError, ShardsExistError
from cloud.averager.work.sharding import TooMuchWorkError
from cloud.state.federations import (
    ChangedMeanwhileError,
    FederationExistsError,
    UnknownFederationError,
    WrongStatusError,
)
from cloud.state.records import CorruptRecordError
from cloud.state.rounds import UnknownRoundError
from components.client.sealed import TornFileError
from components.client.what_leaves import NoWorkDirectoryError
from operations.control import NoModelError, NoRoundError, RoundUnderWayError
from operations.expulsion import UnknownThingError
from operations.packaging import PackagingError
from operations.settings_update import FixedSettingError
from operations.stacks import DeploymentError
from protocol.messages import InvalidMessageError
from protocol.names import InvalidNameError
from protocol.tensors import InvalidTensorsError

app = typer.Typer(
    help="Serverless federated learning for AWS IoT Greengrass V2 fleets.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("what-leaves")(local.what_leaves)
app.command("demo", epilog=HELP)(local.demo)
app.command("plan")(plan.plan)
app.command("split")(local.split)
app.command("deploy")(deployment.deploy)
app.command("init")(deployment.init)
app.command("start")(rounds.start)
app.command("pause")(rounds.pause)
app.command("resume")(rounds.resume)
app.command("update")(update.update)
app.command("abort-round")(rounds.abort_round)
app.command("expel")(devices.expel)
app.command("readmit")(devices.readmit)
app.command("rollback")(rounds.rollback)
app.command("status")(status.status)
app.command("timeline")(status.timeline)

_EXPECTED = (
    BotoCoreError,
    ChangedMeanwhileError,
    ClientError,
    CorruptRecordError,
    DeploymentError,
    DigitsError,
    FederationExistsError,
    FixedSettingError,
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


if __name__ == "__main__":
    main()
