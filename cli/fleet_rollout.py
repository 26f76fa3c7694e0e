"""A deployment to a fleet, done and followed: on its canaries first, if it has some, and then on all."""

from collections.abc import Callable, Sequence
from typing import Any

from cli.errors.kind import ResultError
from cli.fleet_progress import follow, in_words
from cli.screen import Screen
from operations.fleets import rollout
from operations.fleets.following import DeviceState, Following, is_over
from operations.fleets.groups import Group
from operations.fleets.rollout import Prepared

_GOES_ON = "what was deployed goes on by itself; the same command follows it again"


class DeploymentFailedError(ResultError):
    """A deployment has failed on devices."""


class DeploymentUnfinishedError(ResultError):
    """A deployment has not ended on all devices in the time that it was followed for; it goes on."""


class DeploymentInterruptedError(KeyboardInterrupt):
    """Nobody follows a deployment any more; it goes on."""


def roll_out(
    client: Callable[[str], Any],
    screen: Screen,
    group: Group,
    prepared: Prepared,
    result: dict[str, Any],
    *,
    is_new: bool,
    limit_s: float,
) -> dict[str, Any]:
    """Deploy what is prepared if it `is_new`, and follow it, or what the group has already, to its end. Gives `result`
    with what became of it.

    Raises:
        DeploymentFailedError, DeploymentUnfinishedError, DeploymentInterruptedError: see there.
    """
    names = [component.name for component in prepared.components]

    def follow_to_its_end(where: Group, deployment_id: str) -> Sequence[DeviceState]:
        return follow(screen, Following(client, where, deployment_id, names), limit_s)

    try:
        if is_new and prepared.canaries:
            canaries, deployment_id = rollout.deploy_to_canaries(client, group, prepared)
            screen.line(f"deployed to thing group {canaries.name}, and to no others of {group.name} yet")
            states = follow_to_its_end(canaries, deployment_id)
            result = result | {"canary_deployment_id": deployment_id, "canary_devices": states}
            _check(states, f"canaries of {group.name}, of which no others were deployed to", result)
        if is_new:
            result = result | {"deployment_id": group.deploy(prepared.document)}
            screen.line(f"deployed to thing group {group.name}")
        if result["deployment_id"]:
            states = follow_to_its_end(group, result["deployment_id"])
            result = result | {"devices": states}
            _check(states, f"devices of {group.name}", result)
    except KeyboardInterrupt:
        raise DeploymentInterruptedError(f"interrupted: {_GOES_ON}") from None
    return result


def _check(states: Sequence[DeviceState], whose: str, result: dict[str, Any]) -> None:
    text = f"{whose}: {in_words(states)}"
    if not is_over(states):
        raise DeploymentUnfinishedError(f"{text}; {_GOES_ON}", result)
    if any(state.outcome == "failed" for state in states):
        raise DeploymentFailedError(text, result)
