"""Your AWS account, and a stack in it, as commands reach them."""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from cloud.state.records import FederationRecord
    from operations.control import Operations


class InvalidEndpointError(ValueError):
    """What AWS_ENDPOINT_URL, or a variable like it, says is no address."""


def aws_clients() -> Callable[[str], Any]:
    """What gives a client of an AWS service by its boto3 name, with the credentials and the Region of your
    configuration; each is made once, by one session, whichever thread asks.

    Raises:
        NoRegionError: none is set.
        InvalidEndpointError: as a client is asked for; see there.
    """
    from botocore.exceptions import BotoCoreError

    from operations.aws_sessions import session

    configured: Any = session()  # its stubs take literal service names only
    made: dict[str, Any] = {}
    making = Lock()

    def client_of(service: str) -> Any:
        with making:
            if service not in made:
                try:
                    client = configured.client(service)
                    _check_endpoint(client.meta.endpoint_url)
                except BotoCoreError:  # some are ValueErrors, too
                    raise
                except ValueError as error:
                    raise InvalidEndpointError(str(error)) from error
                made[service] = client
            return made[service]

    return client_of


def _check_endpoint(url: str) -> None:
    """What boto3 takes, and fails with when it calls.

    Raises:
        ValueError: nothing can be called there.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        raise ValueError(f"Invalid endpoint: {url}: it has to begin with http:// or https://")
    try:
        parts.port  # noqa: B018 - it is parsed as it is asked for
    except ValueError as error:
        raise ValueError(f"Invalid endpoint: {url}: {error}") from error


def operations_of(stack: str, client_of: Callable[[str], Any] | None = None) -> "Operations":
    """What an operator can do with the federations of a stack; with these clients, if a command has some."""
    from operations import deployment
    from operations.control import Operations

    client_of = client_of or aws_clients()
    return Operations(client_of, deployment.find(client_of, stack))


def federation_in(operations: "Operations", name: str | None) -> "FederationRecord":
    """The federation of this name; without one, the only one that there is.

    Raises:
        UnknownFederationError: there is none.
        BadParameter: there is more than one.
    """
    from cloud.state.federations import UnknownFederationError

    if name is not None:
        return operations.federations.get(name)
    found = operations.federations.all()
    if not found:
        raise UnknownFederationError("there is no federation yet: make one with `fedgrass init`")
    if len(found) > 1:
        raise typer.BadParameter(f"there are {', '.join(sorted(one.federation for one in found))}: name one of them")
    return found[0]
