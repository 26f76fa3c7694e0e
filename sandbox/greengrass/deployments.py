"""Deployments: what is kept of them, and what follows from how their IoT jobs stand."""

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from sandbox.greengrass.arns import Arns, target_of
from sandbox.greengrass.errors import ConflictError, NotFoundError, ValidationError
from sandbox.greengrass.versions import Version, VersionError

UPDATE_TIMEOUT_S = 60
VALIDATION_TIMEOUT_S = 30
FINAL = frozenset({"CANCELED", "COMPLETED", "FAILED", "INACTIVE"})


class Deployment(msgspec.Struct, kw_only=True):
    """One revision of what a target is to run. `components` and the configurations are as the API has them."""

    id: str
    name: str | None
    target_arn: str
    parent_target_arn: str | None
    revision: int
    created_at: datetime
    components: Mapping[str, Mapping[str, Any]]
    policies: Mapping[str, Any]
    job_configuration: Mapping[str, Any]
    job_id: str
    tags: dict[str, str]
    is_canceled: bool = False

    @property
    def is_for_thing(self) -> bool:
        """Whether its target is one device."""
        return target_of(self.target_arn)[0] == "thing"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """How a deployment's IoT job stands: its status, and how many devices have failed."""

    status: str
    failed: int


class Deployments:
    """All revisions, in the order in which they were made."""

    def __init__(self) -> None:
        self._all: list[Deployment] = []
        self._revisions: dict[str, int] = {}

    def draft(self, asked: Mapping[str, Any], now: datetime) -> Deployment:
        """What `add` would add, for the parameters of CreateDeployment.

        Raises:
            ValidationError: they contradict the API's rules.
        """
        components = asked.get("components") or {}
        for name, specification in components.items():
            _check(name, specification)
        target = asked["targetArn"]
        identifier = str(uuid.uuid4())
        return Deployment(
            id=identifier,
            name=asked.get("deploymentName"),
            target_arn=target,
            parent_target_arn=asked.get("parentTargetArn"),
            revision=self._revisions.get(target, 0) + 1,
            created_at=now,
            components=components,
            policies=_with_defaults(asked.get("deploymentPolicies") or {}),
            job_configuration=asked.get("iotJobConfiguration") or {},
            job_id=identifier,
            tags=dict(asked.get("tags") or {}),
        )

    def add(self, deployment: Deployment) -> None:
        """It is the latest of its target from now on."""
        self._all.append(deployment)
        self._revisions[deployment.target_arn] = deployment.revision

    def find(self, identifier: str) -> Deployment:
        """
        Raises:
            NotFoundError: there is none.
        """
        for deployment in self._all:
            if deployment.id == identifier:
                return deployment
        raise NotFoundError(f"Deployment with ID {identifier} does not exist", "deployment", identifier)

    def latest_of(self, target_arn: str) -> Deployment | None:
        """The last one for a target."""
        return next((one for one in self.newest_first() if one.target_arn == target_arn), None)

    def is_latest(self, deployment: Deployment) -> bool:
        """Whether none for its target came after it."""
        return self._revisions[deployment.target_arn] == deployment.revision

    def newest_first(self) -> Iterator[Deployment]:
        """All of them."""
        return reversed(self._all)

    def status(self, deployment: Deployment, job: Job) -> str:
        """As the API says it: one for a thing group goes on for what joins the group, until another one replaces it."""
        if deployment.is_canceled or (job.status == "CANCELED" and self.is_latest(deployment)):
            return "CANCELED"
        if not self.is_latest(deployment):
            return "INACTIVE"
        if deployment.is_for_thing and job.status == "COMPLETED":
            return "FAILED" if job.failed else "COMPLETED"
        return "ACTIVE"

    def cancel(self, identifier: str, status: str) -> Deployment:
        """
        Raises:
            NotFoundError: there is none.
            ConflictError: it is no more active.
        """
        deployment = self.find(identifier)
        if status in FINAL:
            raise ConflictError(
                f"Deployment {identifier} is {status}, and cannot be canceled", "deployment", identifier
            )
        deployment.is_canceled = True
        return deployment

    def remove(self, identifier: str, status: str) -> None:
        """
        Raises:
            NotFoundError: there is none.
            ConflictError: it is active.
        """
        deployment = self.find(identifier)
        if status not in FINAL:
            raise ConflictError(f"Deployment {identifier} is {status}: cancel it first", "deployment", identifier)
        self._all.remove(deployment)


def document(deployment: Deployment, arns: Arns) -> str:
    """What the devices are sent, as JSON."""
    update = deployment.policies["componentUpdatePolicy"]
    parent = deployment.parent_target_arn
    return json.dumps(
        ({"parentTargetArn": parent, "onBehalfOf": parent} if parent else {})
        | {
            "deploymentId": deployment.id,
            "configurationArn": arns.configuration(deployment.target_arn, deployment.revision),
            "creationTimestamp": int(1000 * deployment.created_at.timestamp()),
            "components": {name: _sent(specification) for name, specification in deployment.components.items()},
            "failureHandlingPolicy": deployment.policies["failureHandlingPolicy"],
            "componentUpdatePolicy": {"timeout": update["timeoutInSeconds"], "action": update["action"]},
            "configurationValidationPolicy": {
                "timeout": deployment.policies["configurationValidationPolicy"]["timeoutInSeconds"]
            },
        }
    )


def _sent(specification: Mapping[str, Any]) -> dict[str, Any]:
    update = specification.get("configurationUpdate") or {}
    sent: dict[str, Any] = {"version": specification["componentVersion"]}
    if update:
        merged = {"merge": json.loads(update["merge"])} if update.get("merge") else {}
        sent["configurationUpdate"] = merged | ({"reset": update["reset"]} if update.get("reset") else {})
    return sent | ({"runWith": specification["runWith"]} if specification.get("runWith") else {})


def _with_defaults(policies: Mapping[str, Any]) -> dict[str, Any]:
    update = policies.get("componentUpdatePolicy") or {}
    validation = policies.get("configurationValidationPolicy") or {}
    return {
        "failureHandlingPolicy": policies.get("failureHandlingPolicy", "ROLLBACK"),
        "componentUpdatePolicy": {
            "timeoutInSeconds": update.get("timeoutInSeconds", UPDATE_TIMEOUT_S),
            "action": update.get("action", "NOTIFY_COMPONENTS"),
        },
        "configurationValidationPolicy": {"timeoutInSeconds": validation.get("timeoutInSeconds", VALIDATION_TIMEOUT_S)},
    }


def _check(name: str, specification: Mapping[str, Any]) -> None:
    try:
        Version(specification["componentVersion"])
    except VersionError as error:
        raise ValidationError(f"Invalid Input: componentVersion of {name}: {error}") from error
    update = specification.get("configurationUpdate") or {}
    try:
        merged = json.loads(update.get("merge") or "{}")
    except ValueError as error:
        raise ValidationError(f"Invalid Input: configurationUpdate.merge of {name} is no JSON: {error}") from error
    if not isinstance(merged, dict):
        raise ValidationError(f"Invalid Input: configurationUpdate.merge of {name} is no JSON object")
    for pointer in update.get("reset") or ():
        if pointer and not pointer.startswith("/"):
            raise ValidationError(
                f"Invalid Input: configurationUpdate.reset of {name} has {pointer!r}, which is no JSON pointer"
            )
