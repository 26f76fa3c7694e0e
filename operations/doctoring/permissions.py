"""Checks of what devices are allowed: the policies of their credentials and certificates, and who hands those out."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from operations.doctoring.case import Case
from operations.doctoring.finding import Observation, not_checked, ok, wrong
from operations.fleets.access import role_aliases

_PROVIDER = "credentials.iot.amazonaws.com"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": _PROVIDER}, "Action": "sts:AssumeRole"}],
}
"""What lets AWS IoT give devices the credentials of a role."""

_USUAL_ROLE, _USUAL_ALIAS = "GreengrassV2TokenExchangeRole", "GreengrassV2TokenExchangeRoleAlias"


def role_policy(case: Case) -> Iterator[Observation]:
    """A role has the devices' policy."""
    arn = case.deployment.device_policy_arn
    if case.roles:
        yield ok(f"{arn} is attached to {', '.join(case.roles)}")
    else:
        attach = f"aws iam attach-role-policy --role-name {_USUAL_ROLE} --policy-arn {arn}"
        yield wrong("no role has the devices' policy: no device can read models or send updates", attach)


def role_trust(case: Case) -> Iterator[Observation]:
    """AWS IoT may hand out that role's credentials."""
    for name in case.roles:
        document = case.client("iam").get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        if trusts_devices(json.loads(document) if isinstance(document, str) else document):
            yield ok(f"{name} trusts {_PROVIDER}")
        else:
            change = f"aws iam update-assume-role-policy --role-name {name} --policy-document '{json.dumps(TRUST)}'"
            yield wrong(f"{name} does not trust {_PROVIDER}: devices get no credentials", change)
    if not case.roles:
        yield not_checked("no role has the devices' policy")


def role_alias(case: Case) -> Iterator[Observation]:
    """A role alias leads to that role."""
    if not case.roles:
        yield not_checked("no role has the devices' policy")
        return
    leading = [alias for alias, role in role_aliases(case.client("iot")).items() if role in case.roles]
    if leading:
        yield ok(f"{', '.join(leading)} leads to {', '.join(case.roles)}")
        return
    arn = case.client("iam").get_role(RoleName=case.roles[0])["Role"]["Arn"]
    make = f"aws iot create-role-alias --role-alias {_USUAL_ALIAS} --role-arn {arn}"
    yield wrong(f"no role alias leads to {', '.join(case.roles)}: devices get no credentials", make)


def device_iot_policy(case: Case) -> Iterator[Observation]:
    """Certificates, or a thing group, have the devices' policy of AWS IoT."""
    name = case.deployment.device_iot_policy_name
    targets = case.client("iot").list_targets_for_policy(policyName=name)["targets"]
    if targets:
        yield ok(f"{name} is attached to certificates or thing groups")
    else:
        attach = f"aws iot attach-policy --policy-name {name} --target <a certificate's or thing group's ARN>"
        yield wrong(f"{name} is attached to nothing: no device hears of rounds", attach)


def trusts_devices(document: Mapping[str, Any]) -> bool:
    """Whether a role with this trust policy can be handed out to devices."""
    statements = document.get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        actions = statement.get("Action", [])
        if (
            statement.get("Effect") == "Allow"
            and _PROVIDER in ([services] if isinstance(services, str) else services)
            and {"sts:AssumeRole", "sts:*", "*"} & set([actions] if isinstance(actions, str) else actions)
        ):
            return True
    return False
