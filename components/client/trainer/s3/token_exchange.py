"""What the token exchange service answers: credentials, or a reason why there are none yet.

Nucleus lite's service says 200 to everything that it could ask AWS for, and `null` if AWS refused; botocore takes what
comes for credentials, and stumbles over the first thing that is not there.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import ContainerMetadataFetcher

from components.client.reasons import shorten

TIMEOUT_S = 10
"""Nucleus lite's service asks AWS each time, over a line that may be slow."""

MIN_VALID = timedelta(seconds=10)


class TokenExchangeError(Exception):
    """There are no credentials at the moment; the text says why."""


_Text = Annotated[str, msgspec.Meta(pattern="^[!-~]+$")]


class _Answer(msgspec.Struct, frozen=True, rename="pascal"):
    access_key_id: _Text
    secret_access_key: _Text
    token: _Text
    expiration: Annotated[datetime, msgspec.Meta(tz=True)]


class _Refusal(msgspec.Struct, frozen=True):
    message: str


class TokenExchange(ContainerMetadataFetcher):
    """Asks the service, for botocore's provider of container credentials. `now` tells what has expired."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__(session=URLLib3Session(timeout=TIMEOUT_S))
        self._now = now

    def retrieve_full_uri(self, full_url: str, headers: Mapping[str, str] | None = None) -> Any:
        """The answer, if it has what botocore is going to read of it.

        Raises:
            TokenExchangeError: it has not, or there was none.
        """
        try:
            answer = super().retrieve_full_uri(full_url, headers)
        except (BotoCoreError, ValueError, RecursionError) as error:
            raise TokenExchangeError(shorten(str(error))) from error
        try:
            expiration = msgspec.convert(answer, _Answer).expiration
        except msgspec.ValidationError as error:
            raise TokenExchangeError(f"its answer is none: {error}{_told(answer)}") from None
        if expiration < self._now() + MIN_VALID:
            raise TokenExchangeError(f"those that it gave have expired, at {expiration.isoformat()}")
        return answer


def _told(answer: Any) -> str:
    """What AWS said in place of credentials. Nothing else of an answer is repeated: it may be half a secret."""
    try:
        return f" ({shorten(msgspec.convert(answer, _Refusal).message)})"
    except msgspec.ValidationError:
        return ""
