"""The policy, one of a role's own, that denies expelled things all that their credentials allow.

Others may have written into it: what they have is kept. IAM has no conditional writes: a change is looked at again
after a while, and made again if someone else's write has undone it.
"""

import json
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

_THING_NAME = "credentials-iot:ThingName"
"""What the token exchange service's credentials say of whose they are; DevicePolicy goes by it, too."""

_SID = "Expelled"
_DENY: Mapping[str, Any] = {"Effect": "Deny", "Action": "*", "Resource": "*"}
_TRIES = 5
_SETTLED_S = 0.5
"""Longer than others take from reading the policy to writing it."""


class UnreadablePolicyError(ValueError):
    """A policy that was changed by hand, to something that fedgrass does not understand."""


class LostChangeError(Exception):
    """A change that others have undone again and again."""


class Denials(msgspec.Struct, frozen=True):
    """The things that a policy denies everything, and what else is in it."""

    things: frozenset[str] = frozenset()
    other_statements: tuple[Mapping[str, Any], ...] = ()
    head: Mapping[str, Any] = msgspec.field(default_factory=lambda: {"Version": "2012-10-17"})

    def may_deny(self, thing: str) -> bool:
        """Whether it does, or another statement of it might."""
        return thing in self.things or any(other.get("Effect") != "Allow" for other in self.other_statements)

    @property
    def document(self) -> str:
        """The policy, "" if there is nothing in it."""
        statements = [*self.other_statements]
        if self.things:
            is_taken = any(other.get("Sid") == _SID for other in statements)
            condition = {"StringEquals": {_THING_NAME: sorted(self.things)}}
            statements.append({**({} if is_taken else {"Sid": _SID}), **_DENY, "Condition": condition})
        return json.dumps({**self.head, "Statement": statements}) if statements else ""


class RoleDenials:
    """That policy of one role."""

    def __init__(self, iam: Any, role: str, policy: str) -> None:
        self._iam = iam
        self._role = role
        self._policy = policy
        self._where = f"--role-name {role} --policy-name {policy}"

    def __str__(self) -> str:
        return f"policy {self._policy} of role {self._role}"

    def read(self) -> Denials:
        """What it denies now.

        Raises:
            UnreadablePolicyError: see there.
        """
        try:
            found = self._iam.get_role_policy(RoleName=self._role, PolicyName=self._policy)["PolicyDocument"]
        except self._iam.exceptions.NoSuchEntityException:
            return Denials()
        try:
            return read(found)
        except UnreadablePolicyError as error:
            raise UnreadablePolicyError(f"{self} was changed by hand: {error}") from error

    def change(self, change: Callable[[frozenset[str]], frozenset[str]]) -> None:
        """Change what it denies.

        Raises:
            UnreadablePolicyError: see there.
            LostChangeError: see there.
        """
        for _ in range(_TRIES):
            before = self.read()
            after = changed(before, change)
            if after == before:
                return
            if after.document:
                self._iam.put_role_policy(RoleName=self._role, PolicyName=self._policy, PolicyDocument=after.document)
            else:
                self._iam.delete_role_policy(RoleName=self._role, PolicyName=self._policy)
            time.sleep(_SETTLED_S)
        if changed(found := self.read(), change) != found:
            raise LostChangeError(f"others have written {self} at the same time, {_TRIES} times")

    @property
    def shown_by(self) -> str:
        """The command that shows it."""
        return f"aws iam get-role-policy {self._where}"

    def command(self, after: Denials) -> str:
        """The command that has it be so."""
        if not after.document:
            return f"aws iam delete-role-policy {self._where}"
        return f"aws iam put-role-policy {self._where} --policy-document {shlex.quote(after.document)}"


def changed(before: Denials, change: Callable[[frozenset[str]], frozenset[str]]) -> Denials:
    """The policy with other things denied."""
    return msgspec.structs.replace(before, things=change(before.things))


def denying(thing: str) -> str:
    """The policy that denies one thing only."""
    return Denials(frozenset({thing})).document


def read(document: object) -> Denials:
    """What a policy denies.

    Raises:
        UnreadablePolicyError: see there.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError as error:
            raise UnreadablePolicyError("it is no JSON") from error
    if not isinstance(document, dict):
        raise UnreadablePolicyError("it is no object")
    statements = document.get("Statement", [])
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(statement, dict) for statement in statements):
        raise UnreadablePolicyError("its Statement is neither an object nor a list of objects")
    found = [(statement, _things_of(statement)) for statement in statements]
    return Denials(
        frozenset(thing for _, things in found for thing in things),
        tuple(statement for statement, things in found if not things),
        {name: value for name, value in document.items() if name != "Statement"},
    )


def _things_of(statement: Mapping[str, Any]) -> set[str]:
    """The things that a statement denies everything, if it does nothing else."""
    rest = {name: value for name, value in statement.items() if name not in ("Sid", "Condition")}
    if {name: _one(value) for name, value in rest.items()} != _DENY:
        return set()
    match statement.get("Condition"):
        case {"StringEquals": tests, **others} | {"StringLike": tests, **others} if not others:
            pass
        case _:
            return set()
    if not isinstance(tests, dict) or [name.lower() for name in tests] != [_THING_NAME.lower()]:
        return set()
    (value,) = tests.values()
    things = value if isinstance(value, list) else [value]
    if all(isinstance(thing, str) and not set(thing) & set("*?$") for thing in things):
        return set(things)
    return set()


def _one(value: object) -> object:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
