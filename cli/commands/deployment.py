"""Commands that make things in AWS: the stack, a federation."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cli.commands.aws import client_of, operations_of
from cli.commands.options import Json, ProjectPath, Result, Stack
from cli.screen import Screen
from cli.table import Table

EXAMPLES = (
    "fedgrass deploy",
    "fedgrass deploy my-federation --stack staging",
    "fedgrass deploy --alarm-topic arn:aws:sns:eu-central-1:123456789012:alarms --json",
    "fedgrass init my-federation",
    "fedgrass init my-federation/federation.yaml --stack staging --json",
)


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
) -> Result:
    """Make or update the stack in your credentials' AWS account.

    It has the bucket, tables, queues and functions.

    Custom functions of federations that are not named here stay as they were deployed.
    """
    from cli.checking.checks import check_policies
    from cli.project import load
    from operations import deployment, packaging

    given: dict[str, bytes] = {}
    for path in projects or []:
        project = load(path)
        check_policies(project)
        given |= project.policies
    policies = deployment.deployed_policies(client_of, stack) | given
    target = packaging.target_at(client_of("cloudformation").meta.endpoint_url)
    layer = packaging.dependencies(target, packaging.cache_directory())
    made = deployment.deploy(client_of, stack, packaging.code(policies), layer, update_retention_days, alarm_topic)
    screen = Screen(quiet=as_json)
    rows = [(field, getattr(made, field)) for field in made.__struct_fields__]
    screen.table(Table(columns=("output", "value"), rows=rows, texts=frozenset({"value"})))
    screen.line(
        f"Attach {made.device_policy_arn} to the role of your token exchange service, and the IoT policy "
        f"{made.device_iot_policy_name} to your devices' certificates."
    )
    return made


def init(project: ProjectPath, stack: Stack = "fedgrass", as_json: Json = False) -> Result:
    """Make a federation: check its folder, upload its first model.

    What is checked: all that `fedgrass check` looks at, and whether the federation's custom functions are deployed and
    its thing group, if there is one already, is large enough.
    """
    from cli import initialization, preflight
    from cli.commands.check import tried_out
    from cli.project import load

    checked = load(project)
    model = tried_out(checked, as_json=as_json).model
    operations = operations_of(stack)
    to_do = None
    try:
        preflight.check(client_of, stack, checked.settings, checked.policies.get(checked.settings.name))
    except preflight.UnknownGroupError as error:
        to_do = str(error)  # there is time until the start
    record = initialization.create(operations, checked, model)
    screen = Screen(quiet=as_json)
    if to_do is not None:
        screen.line(f"before the start: {to_do}")
    screen.line(f"federation {record.federation} is ready: model {record.model.key}, {record.model.bytes:,} bytes")
    screen.line(f"start it: fedgrass start {record.federation} --stack {stack}")
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields | {"before_the_start": to_do}
