"""The command that makes a federation."""

from typing import Any

import msgspec

from cli.commands.aws import aws_clients, operations_of
from cli.commands.options import Json, ProjectPath, Result, Stack
from cli.screen import Screen

EXAMPLES = (
    "fedgrass init my-federation",
    "fedgrass init my-federation/federation.yaml --stack staging --json",
)


def init(project: ProjectPath, stack: Stack = "fedgrass", as_json: Json = False) -> Result:
    """Make a federation: check it, upload its first model.

    What is checked: all that `fedgrass check` looks at, and whether the federation's custom functions are deployed and
    its thing group, if there is one already, is large enough.
    """
    from cli import initialization, preflight
    from cli.commands.check import tried_out
    from cli.project import load

    checked = load(project)
    model = tried_out(checked, as_json=as_json).model
    client_of = aws_clients()
    operations = operations_of(stack, client_of)
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
