"""How long a deployment waits for training that is under way: the classic nucleus asks before it stops components."""

RECHECK_S = 60.0
"""After so long the nucleus asks again."""


class Deferrals:
    """Answers the nucleus. A deployment that has waited for `limit_s` in all is let go, whatever is under way: training
    goes on from its checkpoint afterwards."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._deployment: str | None = None
        self._since = 0.0

    def answer_ms(self, deployment: str, *, busy: bool, now: float) -> int:
        """After how many milliseconds the nucleus may ask again; 0 lets the deployment go on."""
        if not busy:
            return 0
        if deployment != self._deployment:
            self._deployment, self._since = deployment, now
        left_s = self._since + self.limit_s - now
        return int(1000 * min(RECHECK_S, left_s)) if left_s > 0 else 0
