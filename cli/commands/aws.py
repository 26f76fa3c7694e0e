"""Your AWS account, and a stack in it, as commands reach them."""

from typing import Any

import boto3

from operations import deployment
from operations.control import Operations


def client_of(service: str) -> Any:
    """A client of an AWS service, with the credentials and the Region of your configuration."""
    session: Any = boto3.Session()  # its stubs take literal service names only
    return session.client(service)


def operations_of(stack: str) -> Operations:
    """What an operator can do with the federations of a stack."""
    return Operations(client_of, deployment.find(client_of, stack))
