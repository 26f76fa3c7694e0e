"""Lets through no more than a device has use for."""

import time


class TokenBucket:
    """Gives `burst` tokens at once, and from then on `per_second`: https://en.wikipedia.org/wiki/Token_bucket."""

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = float(burst)
        self._filled_at = time.monotonic()

    def take(self) -> bool:
        """Whether there was a token: it is gone then."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
