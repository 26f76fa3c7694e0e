"""Checks of a device in AWS IoT: who it is, and what it may do."""

from collections.abc import Iterator

from operations.doctoring.case import Patient
from operations.doctoring.finding import NotCheckedError, Observation, not_checked, ok, wrong


def registered(patient: Patient) -> Iterator[Observation]:
    """AWS IoT has the thing."""
    iot = patient.case.client("iot")
    try:
        iot.describe_thing(thingName=patient.thing)
    except iot.exceptions.ResourceNotFoundException:
        yield wrong("AWS IoT has no such thing", f"aws iot create-thing --thing-name {patient.thing}")
    else:
        yield ok("AWS IoT has the thing")


def certificate(patient: Patient) -> Iterator[Observation]:
    """It has an active certificate."""
    iot = patient.case.client("iot")
    ids = [arn.rpartition("/")[2] for arn in patient.certificates]
    status = {one: iot.describe_certificate(certificateId=one)["certificateDescription"]["status"] for one in ids}
    if "ACTIVE" in status.values():
        yield ok("it has an active certificate")
    elif status:
        one, found = next(iter(status.items()))
        activate = f"aws iot update-certificate --certificate-id {one} --new-status ACTIVE"
        yield wrong(f"its certificate is {found}: it can't connect", activate)
    else:
        attach = f"aws iot attach-thing-principal --thing-name {patient.thing} --principal <its certificate's ARN>"
        yield wrong("no certificate is attached to it: it can't connect", attach)


def iot_policy(patient: Patient) -> Iterator[Observation]:
    """Its certificate, or a thing group that it is in, has the devices' policy of AWS IoT."""
    name = patient.case.deployment.device_iot_policy_name
    if not patient.certificates:
        yield not_checked("it has no certificate")
        return
    for target in (*patient.certificates, *patient.groups.values()):
        attached = patient.case.client("iot").list_attached_policies(target=target)["policies"]
        if any(policy["policyName"] == name for policy in attached):
            yield ok(f"{name} is attached to {'its certificate' if target in patient.certificates else target}")
            return
    attach = f"aws iot attach-policy --policy-name {name} --target {patient.certificates[0]}"
    yield wrong(f"its certificate does not have {name}: it hears of no round", attach)


def membership(patient: Patient) -> Iterator[Observation]:
    """It is in the thing groups of the federations that it is a client of, and is expelled from none."""
    for federation, _ in patient.memberships:
        name, group = federation.federation, federation.settings.thing_group
        if patient.thing in federation.expelled:
            yield wrong(
                f"it is expelled from {name}", patient.case.command(f"readmit {patient.thing} --federation {name}")
            )
        elif group is not None and group not in patient.groups:
            add = f"aws iot add-thing-to-thing-group --thing-group-name {group} --thing-name {patient.thing}"
            yield wrong(f"it is not in thing group {group}, which {name} asks for", add)
        else:
            yield ok(f"it may take part in {name}")
    if not patient.memberships:
        raise NotCheckedError("it is no client of any federation")
