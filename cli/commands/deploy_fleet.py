"""Bring the components to the devices of a thing group."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.aws import aws_clients
from cli.commands.options import DryRun, Json, Result, Stack, Yes, check_group_name, if_given

if TYPE_CHECKING:
    from cli.project import Project
    from cloud.settings import Federation
    from components.gdk_config import Config

EXAMPLES = (
    "fedgrass deploy fleet my-federation --thing-group digit-readers --dry-run",
    "fedgrass deploy fleet my-federation --thing-group digit-readers --config devices.yaml",
    "fedgrass deploy fleet my-federation --thing-group digit-readers --canary 2 --rate 50/minute --yes",
    "fedgrass deploy fleet my-federation --component com.fedgrass.Inference --config devices.yaml",
    "fedgrass deploy fleet my-federation --client-version 0.1.4 --yes --json",
)

_MOST_PER_MINUTE = 1000
"""AWS IoT takes no larger rate, and has this one where none is given."""

_COMPONENT = re.compile(r"[a-zA-Z0-9_.-]{1,128}")

_CHECKOUT = Path(__file__).parent.parent.parent


def _per_minute(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,3})/minute", text)
    if match is None or int(match[1]) > _MOST_PER_MINUTE:
        raise typer.BadParameter(f"{text!r} is no rate: write 1/minute to {_MOST_PER_MINUTE}/minute")
    return int(match[1])


def _version(text: str) -> str:
    if not _is_version(text):
        raise typer.BadParameter(f"{text!r} is no version: {_A_VERSION}")
    return text


_A_VERSION = "write three numbers, such as 1.0.4"


def _is_version(text: str) -> bool:
    from operations.fleets.versions import order

    try:
        order(text)
    except ValueError:
        return False
    return True


def fleet(
    project: Annotated[
        Path, typer.Argument(metavar="DIR", help="The federation's folder, with federation.yaml and gdk-config.json.")
    ] = Path(),
    thing_group: Annotated[
        str | None,
        typer.Option(help="The thing group to deploy to.", show_default="federation.yaml's", callback=check_group_name),
    ] = None,
    client_version: Annotated[
        str | None,
        typer.Option(
            help="Of com.fedgrass.Client, or what yours is called.", show_default="newest", callback=if_given(_version)
        ),
    ] = None,
    runtime_version: Annotated[
        str | None,
        typer.Option(
            help="Of com.fedgrass.Runtime.", show_default="newest that the client takes", callback=if_given(_version)
        ),
    ] = None,
    component: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VERSION]",
            help="Another component, such as one that runs the model (docs/models.md), in the newest version or this "
            "one. More than once for more.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML or JSON with keys of the components' configuration, and null for what goes back to its default.",
            show_default="as it was",
        ),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            metavar="N/minute", parser=_per_minute, help="To no more devices a minute.", show_default="1000/minute"
        ),
    ] = None,
    canary: Annotated[
        int, typer.Option(min=0, metavar="N", help="To so many devices first; if one fails, to no others.")
    ] = 0,
    role: Annotated[
        str | None,
        typer.Option(
            help="Name of the role that the devices' token exchange service takes.", show_default="the role alias's"
        ),
    ] = None,
    timeout: Annotated[int, typer.Option(min=1, metavar="MINUTES", help="How long it is followed.")] = 120,
    stack: Stack = "fedgrass",
    yes: Yes = False,
    rehearsal: DryRun = False,
    as_json: Json = False,
) -> Result:
    """Deploy the published components to a thing group.

    The group's other components stay as they are. What will change is shown before it is asked whether to change it;
    then it is told what becomes of it on each device. Ctrl-C does not stop a deployment, and the same command follows
    it again. Policies that devices need are attached to the group, and to their role. If nothing would change, that is
    said.

    With a --component, the devices get that one as well, and the newest models that it depends on: the same command,
    given again, brings those that were published since.
    """
    from cli import fleet_plan
    from cli.agreement import agrees
    from cli.fleet_configuration import ConfigurationFile
    from cli.fleet_rollout import roll_out
    from cli.project import read
    from cli.screen import Screen
    from operations import deployment
    from operations.fleets import rollout
    from operations.fleets.access import GroupAccess
    from operations.fleets.configuration import UnknownKeyError
    from operations.fleets.documents import Rollout
    from operations.fleets.groups import Group
    from operations.steps import Steps

    client_of = aws_clients()
    screen = Screen(stderr=as_json)
    found = read(project)
    file = ConfigurationFile(config)
    publishing = _components(found, str(client_of("greengrassv2").meta.region_name))
    client, runtime = publishing
    additions = _additions(component or (), (client, runtime))
    asked = rollout.Asked(
        federation=found.settings.name,
        client=client,
        runtime=runtime,
        publishing=publishing,
        client_version=client_version,
        runtime_version=runtime_version,
        additions=additions,
        given=file.given,
        rollout=Rollout(per_minute=rate),
        canaries=canary,
    )
    deployed = deployment.find(client_of, stack)
    group = Group(client_of, _group_name(found.settings, thing_group))
    try:
        prepared = rollout.prepare(client_of, deployed, group, asked)
    except UnknownKeyError as error:
        file.refuse(error)
    file.check(prepared.configuration_of(prepared.components[0]))

    def access(*, rehearsal: bool) -> GroupAccess:
        return GroupAccess(client_of, deployed, group, role, Steps(rehearsal=rehearsal))

    steps = list(access(rehearsal=True).grant(prepared.downloaded))
    again = [] if prepared.plan.changes else rollout.failed(client_of, group, prepared, prepared.present)
    fleet_plan.show_steps(screen, steps)
    fleet_plan.show(screen, group, prepared, again)
    result: dict[str, Any] = {
        "thing_group": group.name,
        "federation": found.settings.name,
        "deployment_id": prepared.present.id or None,
        "changed": False,
        "versions": prepared.plan.versions,
        "keys": prepared.plan.keys,
        "canaries": prepared.canaries,
        "steps": steps,
    }
    is_new = prepared.plan.changes or bool(again)
    if rehearsal:
        documents = [document for document in (prepared.canary_document, prepared.document) if document and is_new]
        policies = access(rehearsal=True).policies(prepared.downloaded)
        fleet_plan.show_documents(screen, documents, policies)
        return result | {"documents": documents, "policies": policies}
    to_do = any(step.outcome == "to do" for step in steps)
    if not is_new and not to_do:
        screen.line(f"thing group {group.name} is up to date: nothing to change")
    elif not yes and not agrees("Do this?", as_json=as_json):
        return result
    else:
        taken = list(access(rehearsal=False).grant(prepared.downloaded))
        fleet_plan.show_steps(screen, taken)
        result |= {"changed": True, "steps": taken}
    return roll_out(client_of, screen, group, prepared, result, is_new=is_new, limit_s=60.0 * timeout)


def _additions(named: Sequence[str], ours: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for text in named:
        name, has_version, version = text.partition("=")
        problem = None
        if not _COMPONENT.fullmatch(name):
            problem = f"{name!r} is no component's name: use 1 to 128 of a-z, A-Z, 0-9, '.', '_' and '-'"
        elif name in ours:
            option = ("--client-version", "--runtime-version")[ours.index(name)]
            problem = f"{name} is deployed in any case: leave it out, and give its version by {option}"
        elif name in found:
            problem = f"{name} is named twice: name it once, with the version that devices shall have"
        elif has_version and not _is_version(version):
            problem = f"{version!r} is no version of {name}: {_A_VERSION}, or none, for the newest"
        if problem:
            raise typer.BadParameter(problem, param_hint="--component")
        found[name] = version if has_version else None
    return found


def _group_name(settings: "Federation", given: str | None) -> str:
    own = settings.thing_group
    if given is None and own is None:
        raise typer.BadParameter("federation.yaml names no thing_group: name one", param_hint="--thing-group")
    if given is not None and own is not None and given != own:
        raise typer.BadParameter(
            f"federation.yaml has thing_group {own}: others than its devices are refused by the federation, so name "
            "that, or change it there",
            param_hint="--thing-group",
        )
    return given or own or ""


def _components(project: "Project", region: str) -> dict[str, str]:
    """The names of the client and of its runtime, and the command that publishes each in this Region."""
    from components.gdk_config import read_config

    own = project.directory if (project.directory / "gdk-config.json").exists() else _CHECKOUT
    usual = _CHECKOUT / "components" / "runtime"
    client, runtime = read_config(own), read_config(usual)

    def publish(folder: str, config: "Config") -> str:
        there = "" if config.region == region else f" --region {region}"
        return f"cd {folder} && gdk component build && gdk component publish{there}"

    where = shlex.quote(str(usual)) if client.runtime == runtime.name else f"<the folder of {client.runtime}>"
    return {client.name: publish(shlex.quote(str(own)), client), client.runtime: publish(where, runtime)}
