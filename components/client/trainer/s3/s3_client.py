"""An S3 client with the device's own credentials, whose clock may be wrong by hours.

S3 refuses what was signed more than 15 minutes off, and botocore takes credentials for expired, or for good, by the
device's clock; it corrects neither. So both go by the cloud's time: the shadow's documents tell it, and each answer of
S3 has it.
"""

import functools
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import botocore.auth
import botocore.crt.auth
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.credentials import ContainerProvider, RefreshableCredentials

from components.client.trainer.s3.token_exchange import TokenExchange

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

TRUSTED_S = 120.0
"""A clock that is less off than this is right: what the cloud tells was on its way for a while."""


class CloudClock:
    """The cloud's time: the device's own, unless that is off."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset_s: float | None = None

    def set(self, offset_s: float) -> None:
        """Takes over the difference between the cloud's time and the monotonic clock."""
        self._offset_s = offset_s

    def learn(self, headers: Mapping[str, str]) -> None:
        """Takes the time from the headers of an answer of S3."""
        try:
            told = parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, ValueError):
            return
        self._offset_s = told - self._monotonic()

    def now(self, remove_tzinfo: bool = False) -> datetime:
        """The time, in UTC."""
        wall = self._wall()
        told = wall if self._offset_s is None else self._offset_s + self._monotonic()
        moment = datetime.fromtimestamp(wall if abs(told - wall) < TRUSTED_S else told, UTC)
        return moment.replace(tzinfo=None) if remove_tzinfo else moment


@functools.cache
def _read_once() -> botocore.loaders.Loader:
    """What has read botocore's description of S3, which is most of what making a client takes."""
    return botocore.loaders.create_loader()


def make(clock: CloudClock) -> "S3Client":
    """A client. Models are checked by their SHA-256, so botocore need not check their CRC.

    Raises:
        TokenExchangeError: the token exchange service gives no credentials. So do the client's calls, when it is to
            give new ones.
    """
    session = botocore.session.Session()
    session.register_component("data_loader", _read_once())
    session.get_component("credential_provider").insert_before(
        ContainerProvider.METHOD,
        ContainerProvider(fetcher=TokenExchange(clock.now)),  # type: ignore[arg-type]  # its stub is wrong
    )
    credentials = session.get_credentials()
    if isinstance(credentials, RefreshableCredentials):
        # Its constructor's argument, which botocore's provider does not pass on; and what a signature is dated by.
        credentials._time_fetcher = clock.now  # type: ignore[attr-defined]
    for signing in (botocore.auth, botocore.crt.auth):
        signing.get_current_datetime = lambda remove_tzinfo=True: clock.now(remove_tzinfo)  # type: ignore[attr-defined]
    return session.create_client(  # type: ignore[return-value]  # botocore's stub knows no service
        "s3",
        config=Config(
            connect_timeout=10,
            read_timeout=30,
            max_pool_connections=1,
            retries={"mode": "standard", "total_max_attempts": 1},  # Transfer tries again, and says why
            response_checksum_validation="when_required",
        ),
    )
