"""Whether the AWS that was looked at was one of this machine, and has ended for good."""

import ipaddress
import socket
from urllib.parse import urlsplit

from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError

_LIMIT_S = 5.0

ENDED = "the run or sandbox on this machine that it was in has ended"


def is_gone(error: Exception) -> bool:
    """Whether nobody listens any more where it was. A machine that is busy refuses no connection, and its next run has
    another port, so that there is nothing to wait for."""
    if not isinstance(error, AwsConnectionError | HTTPClientError):
        return False
    address = urlsplit(str(error.kwargs.get("endpoint_url", "")))
    if address.hostname is None or address.port is None or not _is_loopback(address.hostname):
        return False
    try:
        socket.create_connection((address.hostname, address.port), _LIMIT_S).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass  # it may be there, or come back: who asks goes on asking
    return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
