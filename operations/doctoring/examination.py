"""All checks, in the order in which they are made: what one needs comes before it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from operations.doctoring import account, components, device, groups, permissions, progress, stack
from operations.doctoring.answers import is_not_there
from operations.doctoring.case import Case, Patient
from operations.doctoring.finding import Finding, NotCheckedError, Observation, not_checked
from operations.doctoring.groups import Group
from operations.stack_steps import DeploymentError

_Subject = TypeVar("_Subject")
_Check = Callable[[_Subject], Iterator[Observation]]

OF_ACCOUNT: tuple[_Check[Case], ...] = (
    account.credentials,
    account.clock,
    account.endpoints,
    account.device_endpoints,
)
OF_STACK: tuple[_Check[Case], ...] = (
    stack.deployed,
    stack.resources,
    stack.version,
    stack.functions,
    stack.errors,
    stack.dead_letters,
    stack.alarms,
    permissions.role_policy,
    permissions.role_trust,
    permissions.role_alias,
    permissions.device_iot_policy,
    stack.federations,
)
OF_GROUP: tuple[_Check[Group], ...] = (groups.members, groups.group_deployment)
OF_DEVICE: tuple[_Check[Patient], ...] = (
    device.registered,
    device.certificate,
    device.iot_policy,
    components.core_device,
    components.components,
    components.last_deployment,
    device.membership,
    progress.hello,
    progress.shadow,
    progress.device_clock,
)

MAX_DEVICES = 100
"""So many devices of a group are looked at: each takes some ten calls to AWS."""

_PARALLEL = 8


def examine(case: Case, thing: str | None = None, group: str | None = None) -> Iterator[Finding]:
    """Look at an account and a stack; besides at a device, or at a thing group and its devices. Of a group's devices,
    all that is well is told in one finding a check.

    Raises:
        ClientError, BotoCoreError: AWS does not even say whose the credentials are.
    """
    _ = case.identity
    yield from _made(OF_ACCOUNT, case, "account")
    yield from _made(OF_STACK, case, f"stack {case.stack}")
    if thing is not None:
        yield from _made(OF_DEVICE, Patient(case, thing), thing)
    if group is not None:
        found = Group(case, group)
        yield from _made(OF_GROUP, found, f"thing group {group}")
        yield from _of_devices(case, found)


def _of_devices(case: Case, group: Group) -> Iterator[Finding]:
    try:
        things = group.members()
    except (ClientError, BotoCoreError):
        return  # what is the matter is found by the check of its members
    looked_at = things[:MAX_DEVICES]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        every = list(pool.map(lambda thing: list(_made(OF_DEVICE, Patient(case, thing), thing)), looked_at))
    findings = [finding for of_one in every for finding in of_one]
    order = [check.__name__ for check in OF_DEVICE]
    findings.sort(key=lambda finding: order.index(finding.check))
    for check, of_check in groupby(findings, key=lambda finding: finding.check):
        yield from _summarized(check, list(of_check), group.name)
    if len(things) > len(looked_at):
        rest = len(things) - len(looked_at)
        text = f"{rest} devices more were not looked at: give one by --thing"
        yield Finding(check="members", about=f"thing group {group.name}", state="not checked", text=text)


def _summarized(check: str, findings: Sequence[Finding], group: str) -> Iterator[Finding]:
    yield from (finding for finding in findings if finding.state == "wrong")
    about = f"thing group {group}"
    if well := {finding.about for finding in findings if finding.state == "ok"}:
        yield Finding(check=check, about=about, state="ok", text=f"with {len(well)} of its devices")
    reasons = sorted({finding.text for finding in findings if finding.state == "not checked"})
    for reason in reasons:
        count = sum((finding.state, finding.text) == ("not checked", reason) for finding in findings)
        yield Finding(check=check, about=about, state="not checked", text=f"with {count} of its devices: {reason}")


def _made(checks: Sequence[_Check[_Subject]], subject: _Subject, about: str) -> Iterator[Finding]:
    """A check that AWS does not answer says so, and the others are made."""
    for check in checks:
        for seen in _observed(check, subject):
            yield Finding(check=check.__name__, about=about, state=seen.state, text=seen.text, remedy=seen.remedy)


def _observed(check: _Check[_Subject], subject: _Subject) -> list[Observation]:
    try:
        return list(check(subject))
    except NotCheckedError as error:
        return [not_checked(str(error))]
    except (ClientError, BotoCoreError, DeploymentError) as error:
        begin = "what this asks for is not there" if is_not_there(error) else "AWS gives no answer"
        return [not_checked(f"{begin}: {error}")]
