"""Bring fedgrass to AWS, and to your devices."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from cli.commands.aws import aws_clients
from cli.commands.options import DryRun, Json, Result, Stack, Yes

if TYPE_CHECKING:
    from cli.screen import Screen
    from operations.deployment import Deployment

EXAMPLES = (
    "fedgrass deploy cloud",
    "fedgrass deploy cloud --dry-run",
    "fedgrass deploy cloud my-federation --stack staging --yes",
    "fedgrass deploy cloud --parameter AlarmTopic=arn:aws:sns:eu-central-1:123456789012:alarms --tag team=vision",
    "fedgrass deploy cloud --parameter Architecture=x86_64 --yes --json",
)


def cloud(
    projects: Annotated[
        list[Path] | None, typer.Argument(help="Federations whose policies.py the functions take along.")
    ] = None,
    stack: Stack = "fedgrass",
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A parameter of the stack, such as Architecture, from now on: docs/operating.md. May be repeated.",
            show_default="as they were",
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Tag of all that the stack has, in place of the tags that it had. May be repeated.",
            show_default="as they were",
        ),
    ] = None,
    yes: Yes = False,
    rehearsal: DryRun = False,
    as_json: Json = False,
) -> Result:
    """Make or update the stack in your credentials' AWS account.

    It has the bucket, tables, queues and functions. What will change is shown before it is asked whether to change it.
    If nothing would change, that is said.

    Custom functions of federations that are not named here stay as they were deployed.
    """
    from cli.screen import Screen
    from cli.stack_progress import take
    from operations import deployment, packaging, stack_parameters
    from operations.stack_names import names_of

    parameters, tags = _pairs(parameter, "--parameter"), _pairs(tag, "--tag")
    if unknown := sorted(parameters.keys() - set(deployment.SETTABLE)):
        raise typer.BadParameter(
            f"no parameter {unknown[0]!r}: there are {', '.join(deployment.SETTABLE)}", param_hint="--parameter"
        )
    for fault in stack_parameters.faults(parameters):
        raise typer.BadParameter(fault, param_hint="--parameter")
    given = _policies(projects or [])
    client_of = aws_clients()
    names_of(client_of, stack)
    architecture = parameters.get("Architecture") or deployment.architecture(client_of, stack)
    target = packaging.target_at(client_of("cloudformation").meta.endpoint_url, architecture)
    packages = deployment.Packages(
        code=packaging.code(deployment.deployed_policies(client_of, stack) | given),
        dependencies=packaging.dependencies(target, packaging.cache_directory()),
    )
    screen = Screen(stderr=as_json)
    steps = deployment.steps(client_of, stack, packages, parameters, tags)
    taken = take(steps, screen, yes=yes, rehearsal=rehearsal, as_json=as_json)
    if not taken:
        screen.line(f"stack {stack} is up to date: nothing to change")
    result: dict[str, Any] = {
        "stack": stack,
        "changed": any(step.done for step in taken),
        "steps": taken,
    }
    if not all(step.done for step in taken):
        return result
    made = deployment.find(client_of, stack)
    if taken:
        _tell(screen, made)
    return result | msgspec.to_builtins(made)


def _pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given or []:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{text!r} has no name and value: write NAME=VALUE", param_hint=option)
        if name in pairs:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint=option)
        pairs[name] = value
    return pairs


def _policies(projects: Sequence[Path]) -> dict[str, bytes]:
    from cli.checking.checks import check_policies
    from cli.project import load

    given: dict[str, bytes] = {}
    for path in projects:
        project = load(path)
        check_policies(project)
        given |= project.policies
    return given


def _tell(screen: "Screen", made: "Deployment") -> None:
    from cli.table import Table

    rows = [(field, getattr(made, field)) for field in made.__struct_fields__]
    screen.table(Table(columns=("output", "value"), rows=rows, texts=frozenset({"value"})))
    screen.line(
        f"Devices need {made.device_policy_arn} and the IoT policy {made.device_iot_policy_name}: `fedgrass deploy "
        "fleet` attaches them, to the role of the devices' token exchange service and to their thing group."
    )
