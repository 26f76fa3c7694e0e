"""Federations of a project, on devices of their own."""

from collections.abc import Mapping
from pathlib import Path

from cli import initialization
from cli.initial_model import initial_model
from cli.project import Project
from cli.project_sandbox import build_component
from components.client.trainer.task.loading import load_task
from operations.control import Operations
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from sandbox.federated_run import wait_for_clients
from sandbox.fleet import Access, Fleet
from sandbox.polling import eventually
from sandbox.scratch import Scratch
from tests.e2e.shells import LIMIT_S


def model_0(project: Project) -> bytes:
    """Made in this process: another one would have to import torch first."""
    return initial_model(load_task(project.task), project.directory, project.settings)


def carry_through(aws: EmbeddedAws, deployed: Deployment, project: Project, folders: Mapping[str, Path]) -> Operations:
    """All rounds of the project's federation, with a device for each thing and its folder of data. No two federations
    of an AWS may have a name or a thing in common."""
    name, operations = project.settings.name, Operations(aws.client, deployed)
    initialization.create(operations, project, model_0(project))
    access = Access(
        thing_group=f"fedgrass-{name}",
        iot_policy=deployed.device_iot_policy_name,
        iam_policy_arn=deployed.device_policy_arn,
    )
    common = {"federation": name, "bucket": deployed.bucket, "threads": 1}
    configurations = {thing: common | {"dataset": str(folder)} for thing, folder in folders.items()}
    with Scratch() as scratch:
        component = build_component(project, scratch.path / "build")
        with Fleet(aws, scratch, scratch.path / "devices", component, access, configurations) as fleet:
            wait_for_clients(operations, name, fleet)
            operations.start(name)

            def is_over() -> bool:
                fleet.check()
                return operations.federations.get(name).status == "finished"

            eventually(is_over, f"the last round of {name}", LIMIT_S)
    return operations
