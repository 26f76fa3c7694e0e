"""The command that gives a model back to devices, as a component."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.agreement import agrees
from cli.commands.aws import aws_clients
from cli.commands.options import DryRun, FederationName, Json, Result, Stack, Yes, if_given
from cli.screen import Screen
from cli.table import Table

if TYPE_CHECKING:
    from operations.model_publication import Publication

EXAMPLES = (
    "fedgrass publish-model digits",
    "fedgrass publish-model digits --round 12 --project my-federation",
    "fedgrass publish-model digits --component-name com.example.DigitModel --version 2.0.0 --yes",
)


_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9]")
"""Names with capitals, underscores or more than 63 characters are of buckets that are older than today's rules."""


def _bucket_name(name: str) -> str:
    if not _BUCKET.fullmatch(name):
        raise typer.BadParameter(
            f"{name!r} is no bucket's name: use 3 to 63 of a-z, 0-9, '.' and '-', or leave it out, for the stack's"
        )
    return name


def publish_model(
    federation: FederationName,
    round_number: Annotated[
        int | None,
        typer.Option("--round", min=1, help="The round that made the model.", show_default="the current one"),
    ] = None,
    component: Annotated[
        str | None,
        typer.Option("--component-name", help="Name of the component.", show_default="com.fedgrass.Model.NAME"),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Version of the component.", show_default="the patch after the highest")
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(help="The federation's folder: its network goes along, if task.py has example_inputs()."),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(
            help="The S3 bucket for the artifacts.", show_default="the stack's", callback=if_given(_bucket_name)
        ),
    ] = None,
    yes: Yes = False,
    rehearsal: DryRun = False,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Make a component version of a model.

    It holds the model (safetensors), a file of metadata, and the network as torch.export writes it, if the project's
    task.py has example_inputs(). A component that runs the model on devices depends on it: docs/models.md. A model that
    is published already is told, and not published again.
    """
    from operations import deployment, model_component
    from operations.control import Operations
    from operations.model_publication import Publisher

    client_of = aws_clients()
    deployed = deployment.find(client_of, stack)
    operations = Operations(client_of, deployed)
    record = operations.federations.get(federation)
    program = task = None
    if project is not None:
        from cli.exported_model import exporter
        from cli.project import load

        exported = exporter(load(project).task, record.settings.training.seed)
        if exported is not None:
            program, task = exported
    publisher = Publisher(client_of, operations, record, round_number, program, task)
    name = component or f"{model_component.COMPONENT}{federation}"
    prepared = publisher.prepare(name, version, bucket or deployed.bucket)
    screen = Screen(quiet=as_json)
    _show(screen, prepared)
    published = False
    if not prepared.is_there and not rehearsal and (yes or agrees("Publish this?", as_json=as_json)):
        publisher.publish(prepared)
        published = True
        screen.line(f"{prepared.component} {prepared.version} is published, and can be deployed")
    return {
        "component": prepared.component,
        "version": prepared.version,
        "arn": prepared.arn,
        "published": published,
        "was_there": prepared.is_there,
        "bucket": prepared.bucket,
        "prefix": prepared.prefix,
        "artifacts": prepared.artifacts,
        "model": prepared.about,
    }


def _show(screen: Screen, prepared: "Publication") -> None:
    about = prepared.about
    if prepared.is_there:
        screen.line(
            f"the model of round {about.round} of {about.federation} is published already: {prepared.component} "
            f"{prepared.version}, in s3://{prepared.bucket}/{prepared.prefix}"
        )
        return
    rows = [(name, f"{file.bytes:,}", file.sha256) for name, file in prepared.artifacts.items()]
    screen.line(f"{prepared.component} {prepared.version}: the model of round {about.round} of {about.federation}")
    screen.table(Table(columns=("artifact", "bytes", "SHA-256"), rows=rows, texts=frozenset({"artifact", "SHA-256"})))
