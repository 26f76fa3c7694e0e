"""Whether a deployment has what a federation needs before its rounds can begin."""

from collections.abc import Callable
from typing import Any

from cli.plurals import counted
from cli.settings.contradictions import fleet_contradictions
from cli.settings.problems import told
from cloud.custom_policies import FILE_NAME
from cloud.settings import MAX_COHORT, Federation
from operations import deployment


class NotReadyError(Exception):
    """The federation can't begin as things are; the text says why, and what to do."""


class UnknownGroupError(NotReadyError):
    """There is no thing group of the name that the settings have; it may be made yet."""


def check(client: Callable[[str], Any], stack: str, settings: Federation, policies: bytes | None = None) -> None:
    """Pass if the custom functions that the settings ask for are deployed, and if the thing group is large enough.
    `client` gives a boto3 client by its service's name; `policies` is what policies.py has now, if that is known.

    Raises:
        NotReadyError, UnknownGroupError: see there.
    """
    if settings.custom_functions:
        _check_custom_functions(
            deployment.deployed_policies(client, stack).get(settings.name), settings, stack, policies
        )
    if settings.thing_group is not None:
        clients = _count(client("iot"), settings.thing_group)
        if problems := list(fleet_contradictions(settings, clients)):
            raise NotReadyError(
                f"thing group {settings.thing_group} has {counted(clients, 'thing')}:\n{told(problems)}"
            )


def _check_custom_functions(deployed: bytes | None, settings: Federation, stack: str, policies: bytes | None) -> None:
    remedy = f"fedgrass deploy cloud <the folder of {settings.name}> --stack {stack}"
    if deployed is None:
        functions = ", ".join(settings.custom_functions)
        raise NotReadyError(f"the rules of {settings.name} ({functions}) were never deployed: {remedy}")
    if policies is not None and policies != deployed:
        raise NotReadyError(f"{FILE_NAME} of {settings.name} is not what was deployed: {remedy}")


def _count(iot: Any, group: str) -> int:
    """How many things are in a group, and those below it; counted no further than a round could need."""
    pages = iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName=group, recursive=True)
    found = 0
    try:
        for page in pages:
            found += len(page["things"])
            if found > MAX_COHORT:
                break
    except iot.exceptions.ResourceNotFoundException:
        text = f"there is no thing group {group}: make it, or name another one as thing_group"
        raise UnknownGroupError(text) from None
    return found
