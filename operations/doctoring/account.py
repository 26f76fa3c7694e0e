"""Checks of an account, and of the way to it from here."""

import socket
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from operations.doctoring.case import Case
from operations.doctoring.finding import Observation, not_checked, ok, wrong

_CLOCK_S = 60.0
"""AWS refuses what is signed five minutes off."""

_CONNECT_S = 5.0
_SERVICES = ("cloudformation", "dynamodb", "s3", "sqs", "lambda", "logs", "iam", "iot", "iot-data")
_OF_DEVICES = {"iot:Data-ATS": 8883, "iot:CredentialProvider": 443}
"""What devices connect to, and where."""


def credentials(case: Case) -> Iterator[Observation]:
    """They are those of an account."""
    region = case.client("sts").meta.region_name
    yield ok(f"account {case.identity['Account']} in {region}, as {case.identity['Arn']}")


def clock(case: Case) -> Iterator[Observation]:
    """This machine's is AWS's."""
    date = case.identity["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is None:
        yield not_checked("AWS's answer had no date")
        return
    told = parsedate_to_datetime(date)
    off_s = case.now - (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    yield of_clock(off_s, "this machine")


def of_clock(off_s: float, whose: str) -> Observation:
    """Whether a clock is right that is so many seconds fast."""
    if abs(off_s) <= _CLOCK_S:
        return ok(f"the clock of {whose} is right to {_CLOCK_S:.0f} s")
    return wrong(
        f"the clock of {whose} is {abs(off_s):,.0f} s {'fast' if off_s > 0 else 'slow'}",
        f"on {whose}: sudo timedatectl set-ntp true",
    )


def endpoints(case: Case) -> Iterator[Observation]:
    """The services can be reached from here."""
    addresses = {}
    for service in _SERVICES:
        url = urlsplit(case.client(service).meta.endpoint_url)
        addresses[url.hostname or "", url.port or (80 if url.scheme == "http" else 443)] = service
    yield from reached(addresses)


def device_endpoints(case: Case) -> Iterator[Observation]:
    """What devices connect to can be reached from here, which a device's own network may not allow."""
    addresses = {}
    for kind, usual in _OF_DEVICES.items():
        host, _, port = case.client("iot").describe_endpoint(endpointType=kind)["endpointAddress"].partition(":")
        if host.endswith("localhost"):
            yield not_checked(f"{host} is a name of an AWS on this machine")
            return
        addresses[host, int(port or usual)] = kind
    yield from reached(addresses)


def reached(addresses: dict[tuple[str, int], str]) -> Iterator[Observation]:
    """Whether something listens at each host and port; they are of these services."""
    if "https" in getproxies() and not all(proxy_bypass(host) for host, _ in addresses):
        yield not_checked("a proxy is between, and what it reaches can't be seen from here")
        return
    refused = {}
    for (host, port), what in addresses.items():
        try:
            socket.create_connection((host, port), _CONNECT_S).close()
        except OSError as error:
            refused[host, port] = f"{what} at {host}:{port}: {error}"
    for (host, port), text in refused.items():
        yield wrong(text, f"a name server, firewall or proxy is in the way: curl -v https://{host}:{port}")
    if not refused:
        yield ok(f"{', '.join(sorted({host for host, _ in addresses}))} can be reached from this machine")
