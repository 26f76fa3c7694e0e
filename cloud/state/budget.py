"""The budget of a federation's stop rule."""

from cloud.settings import Stop

_ROUNDING = 1e-9


def over_budget(stop: Stop, spent_usd: float | None, round_usd: float | None) -> str:
    """Why another round, which costs what the last one did, would be one too many; "" if it would not, or nothing is
    known of what rounds cost."""
    if stop.budget_usd is None or spent_usd is None or round_usd is None:
        return ""
    if spent_usd + round_usd <= stop.budget_usd * (1 + _ROUNDING):
        return ""
    return (
        f"the rounds have cost ${spent_usd:,.6f}, and another would cost about ${round_usd:,.6f}: "
        f"stop.budget_usd is {stop.budget_usd:g}"
    )
