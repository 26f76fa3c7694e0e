"""What the rounds of a run come to: a fold over their lines, pure."""

import msgspec

from cloud.state.metric_direction import direction
from protocol.messages import Numbers
from reporting.records import Measured, Metrics, MetricSummary, RoundLine, Totals


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The rounds so far, by the names that a summary has for them."""

    rounds: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    totals: Totals = Totals()
    metrics: Metrics = Metrics()

    def after(self, line: RoundLine) -> "Tally":
        """With one more round."""
        before = self.totals
        return Tally(
            rounds=line.round,
            started_at=line.opened_at if self.started_at is None else self.started_at,
            ended_at=line.ended_at,
            totals=Totals(
                rounds=before.rounds + 1,
                closed=before.closed + (line.status == "closed"),
                aborted=before.aborted + (line.status == "aborted"),
                accepted=before.accepted + line.accepted,
                failed=before.failed + line.failed,
                refused=before.refused + line.refused,
                vanished=before.vanished + line.vanished,
                bytes_down=before.bytes_down + line.bytes_down,
                bytes_up=before.bytes_up + line.bytes_up,
                round_s=before.round_s + line.round_s,
            ),
            metrics=Metrics(
                clients=_with(self.metrics.clients, line.round, line.metrics),
                held_out=_with(self.metrics.held_out, line.round, line.held_out),
            ),
        )


def _with(before: dict[str, MetricSummary], number: int, values: Numbers) -> dict[str, MetricSummary]:
    found = dict(before)
    for metric, value in values.items():
        if value is None:
            continue
        measured, sign = Measured(round=number, value=value), direction(metric)
        best = found[metric].best if metric in found else None
        if sign and (best is None or sign * value > sign * best.value):
            best = measured
        found[metric] = MetricSummary(last=measured, best=best)
    return found
