"""What a device may do in AWS by its credentials, its certificate and its thing groups: taken away, and given back."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from botocore.exceptions import ClientError

from operations.deployment import Deployment
from operations.fleets.access import roles_with
from operations.pages import listed
from operations.role_denials import LostChangeError, RoleDenials, UnreadablePolicyError, changed, denying
from operations.steps import Outcome, Step, Steps, remains

_SUFFIX = "-expelled"
"""Of the names of policies that deny what stacks have expelled."""


class DeviceAccess:
    """Of one thing. `client` gives a boto3 client by its service's name; `groups` are the thing groups that federations
    ask for."""

    def __init__(
        self, client: Callable[[str], Any], deployment: Deployment, thing: str, groups: Iterable[str], steps: Steps
    ) -> None:
        self._client = client
        self._deployment = deployment
        self._thing = thing
        self._wanted = sorted(groups)
        self._steps = steps

    # ---- Credentials: a deny by name, in the role's own policies, which no update of the stack touches

    @property
    def _policy_name(self) -> str:
        return self._deployment.stack + _SUFFIX

    def deny(self) -> Iterator[Step]:
        """Let no credentials of it allow anything, those included that it has already."""
        what = f"no credentials of {self._thing} allow anything"
        by_hand = f"add {self._thing} to those that it denies, or have it be {denying(self._thing)} if there is none"
        yield from self._in_roles(what, by_hand, lambda denied: denied | {self._thing})

    def allow(self) -> Iterator[Step]:
        """Let its credentials allow what they did."""
        what = f"credentials of {self._thing} allow what they did"
        by_hand = f"take {self._thing} out of those that it denies"
        yield from self._in_roles(what, by_hand, lambda denied: denied - {self._thing})

    def _in_roles(self, what: str, by_hand: str, change: Callable[[frozenset[str]], frozenset[str]]) -> Iterator[Step]:
        """A step for each role that has the devices' policy."""
        iam = self._client("iam")
        arn = self._deployment.device_policy_arn
        in_any = (
            f"for each role of aws iam list-entities-for-policy --policy-arn {arn} --entity-filter Role, look at its "
            f"policy {self._policy_name} (aws iam get-role-policy), {by_hand}, and write it (aws iam put-role-policy)"
        )
        try:
            roles = roles_with(iam, arn)
        except ClientError as error:
            yield remains(what, error, in_any)
            return
        if not roles:
            yield Step(what=what, outcome="remains", note=f"{arn} is attached to no role as it is: {in_any}")
        for role in roles:
            denials = RoleDenials(iam, role, self._policy_name)
            yield self._in_role(f"{what} ({denials})", by_hand, denials, change)

    def _in_role(
        self, what: str, by_hand: str, denials: RoleDenials, change: Callable[[frozenset[str]], frozenset[str]]
    ) -> Step:
        by_hand = f"see {denials.shown_by}, and {by_hand}"
        try:
            before = denials.read()
            after = changed(before, change)
            by_hand = denials.command(after)
            return self._steps.take(what, after == before, functools.partial(denials.change, change), by_hand)
        except (ClientError, UnreadablePolicyError, LostChangeError) as error:
            return remains(what, error, by_hand)

    # ---- AWS IoT

    def deactivate(self) -> Iterator[Step]:
        """Deactivate its certificates."""
        yield from self._certificates("INACTIVE", "deactivated: its connections end, and there are no new credentials")

    def activate(self, *, is_expelled: bool) -> Iterator[Step]:
        """Have its certificates active again, before its credentials allow anything, if it is expelled, as a federation
        or the policy of a role says, from this stack alone: someone else may have deactivated them."""
        meaning = "active again"
        try:
            against = self._against_activation(is_expelled)
        except (ClientError, UnreadablePolicyError) as error:
            by_hand = f"aws iot update-certificate --new-status ACTIVE --certificate-id <of {self._thing}>"
            yield remains(f"the certificates of {self._thing} are {meaning}", error, by_hand)
            return
        yield from self._certificates("ACTIVE", meaning, against)

    def _against_activation(self, is_expelled: bool) -> str:
        iam = self._client("iam")
        for role in roles_with(iam, self._deployment.device_policy_arn):
            for policy in listed(iam, "list_role_policies", "PolicyNames", RoleName=role):
                if not policy.endswith(_SUFFIX):
                    continue
                denials = RoleDenials(iam, role, policy)
                found = denials.read()
                if policy == self._policy_name:
                    is_expelled |= self._thing in found.things
                elif found.may_deny(self._thing):
                    return f"{denials} may deny {self._thing}, too: once it does not"
        return "" if is_expelled else f"{self._deployment.stack} has not expelled {self._thing}: if it is to be so"

    def _certificates(self, status: Literal["ACTIVE", "INACTIVE"], meaning: str, against: str = "") -> Iterator[Step]:
        iot = self._client("iot")
        by_hand = f"aws iot update-certificate --new-status {status} --certificate-id <of {self._thing}>"
        try:
            principals = list(listed(iot, "list_thing_principals", "principals", thingName=self._thing))
        except iot.exceptions.ResourceNotFoundException:
            principals = []
        except ClientError as error:
            yield remains(f"the certificates of {self._thing} are {meaning}", error, by_hand)
            return
        if not principals:
            yield Step(what=f"{self._thing} has no certificate in AWS IoT", outcome="already so")
        for principal in principals:
            what = f"certificate {principal.rpartition('/')[2]} of {self._thing} is {meaning}"
            try:
                yield self._certificate(iot, principal, status, what, against)
            except ClientError as error:
                yield remains(what, error, by_hand)

    def _certificate(
        self, iot: Any, principal: str, status: Literal["ACTIVE", "INACTIVE"], what: str, against: str
    ) -> Step:
        certificate = principal.rpartition("/")[2]
        if ":cert/" not in principal:
            detach = f"aws iot detach-thing-principal --thing-name {self._thing} --principal {principal}"
            return Step(what=what, outcome="remains", note=f"it is no certificate: {detach}")
        others = sorted({*listed(iot, "list_principal_things", "things", principal=principal)} - {self._thing})
        if others:
            note = f"it is left as it is, for {', '.join(others)} use it, too: give each a certificate of its own"
            return Step(what=what, outcome="remains", note=note)
        present = iot.describe_certificate(certificateId=certificate)["certificateDescription"]["status"]
        if present not in ("ACTIVE", "INACTIVE"):
            outcome: Outcome = "already so" if status == "INACTIVE" else "remains"
            return Step(what=what, outcome=outcome, note=f"it is {present}, and is left so")
        by_hand = f"aws iot update-certificate --new-status {status} --certificate-id {certificate}"
        if against and present != status:
            return Step(what=what, outcome="to do", note=f"{against}, {by_hand}")
        return self._steps.take(
            what,
            present == status,
            lambda: iot.update_certificate(certificateId=certificate, newStatus=status),
            by_hand,
        )

    def leave_groups(self) -> Iterator[Step]:
        """Take it out of the groups."""
        iot = self._client("iot")
        for group, is_member in self._groups(iot):
            by_hand = f"aws iot remove-thing-from-thing-group --thing-group-name {group} --thing-name {self._thing}"
            yield self._steps.take(
                f"{self._thing} is not in thing group {group}",
                not is_member,
                functools.partial(iot.remove_thing_from_thing_group, thingGroupName=group, thingName=self._thing),
                by_hand,
            )

    def groups_to_join(self) -> Iterator[Step]:
        """Whether it was in a group before, nobody has noted."""
        for group, is_member in self._groups(self._client("iot")):
            if not is_member:
                join = f"aws iot add-thing-to-thing-group --thing-group-name {group} --thing-name {self._thing}"
                yield Step(what=f"thing group {group}, if it is to be in it", outcome="to do", note=join)

    def _groups(self, iot: Any) -> Iterable[tuple[str, bool]]:
        """The groups that the federations ask for, and whether the thing is in them; if that can't be asked, it may
        be."""
        if not self._wanted:
            return ()
        try:
            groups = listed(iot, "list_thing_groups_for_thing", "thingGroups", thingName=self._thing)
            present = {group["groupName"] for group in groups}
        except iot.exceptions.ResourceNotFoundException:
            present = set()
        except ClientError:
            present = set(self._wanted)
        return [(group, group in present) for group in self._wanted]
