"""Your AWS account, and a stack in it, as commands reach them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from operations.control import Operations


class InvalidEndpointError(ValueError):
    """What AWS_ENDPOINT_URL, or a variable like it, says is no address."""


def client_of(service: str) -> Any:
    """A client of an AWS service, with the credentials and the Region of your configuration.

    Raises:
        InvalidEndpointError: see there.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    session: Any = boto3.Session()  # its stubs take literal service names only
    try:
        return session.client(service)
    except BotoCoreError:  # some are ValueErrors, too
        raise
    except ValueError as error:
        raise InvalidEndpointError(str(error)) from error


def operations_of(stack: str) -> "Operations":
    """What an operator can do with the federations of a stack."""
    from operations import deployment
    from operations.control import Operations

    return Operations(client_of, deployment.find(client_of, stack))
