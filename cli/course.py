"""What a federation's rounds have come to: the best model, what they have cost, and why they have ended."""

from collections.abc import Iterator

from cli.model_warnings import number
from cloud.state.records import BestModel
from reporting.pictures import formats


def lines(best: BestModel | None, spent_usd: float | None, stopped: str) -> Iterator[str]:
    """What there is to say, as people read it."""
    if best is not None:
        yield f"best by {best.metric}, {number(best.value)} in round {best.round}: {best.model.key}"
    if spent_usd is not None:
        yield f"dollars in AWS: {formats.dollars(spent_usd)} so far, estimated"
    if stopped:
        yield f"no more rounds: {stopped}"
