"""The command that takes the stack away again."""

from typing import Annotated

import typer

from cli.commands.aws import aws_clients
from cli.commands.options import DryRun, Json, Result, Stack, Yes

EXAMPLES = (
    "fedgrass destroy --dry-run",
    "fedgrass destroy --stack staging",
    "fedgrass destroy --with-models --yes --json",
)


def destroy(
    with_models: Annotated[
        bool, typer.Option("--with-models", help="Delete all models, updates and records of federations as well.")
    ] = False,
    stack: Stack = "fedgrass",
    yes: Yes = False,
    rehearsal: DryRun = False,
    as_json: Json = False,
) -> Result:
    """Delete the stack, and keep the models.

    The bucket and the tables stay, and `fedgrass deploy cloud` makes the stack again around them: federations go on.
    With --with-models they are deleted for good. What is deleted is shown before it is asked whether to delete it.
    Given again, it does what is not done yet.
    """
    from cli.screen import Screen
    from cli.stack_progress import take
    from operations import destruction
    from operations.stack_names import names_of

    client_of = aws_clients()
    names = names_of(client_of, stack)
    screen = Screen(stderr=as_json)
    steps = destruction.steps(client_of, stack, with_models=with_models)
    taken = take(steps, screen, yes=yes, rehearsal=rehearsal, as_json=as_json, ahead=True)
    kept = destruction.kept(client_of, names)
    if all(step.done for step in taken):
        screen.line(f"of stack {stack} is left: {', '.join(kept) or 'nothing'}")
    return {"stack": stack, "changed": any(step.done for step in taken), "steps": taken, "kept": kept}
