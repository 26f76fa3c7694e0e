"""The best model so far, and why the rounds have ended, as people read them."""

from collections.abc import Iterator

from cli.model_warnings import number
from cloud.state.records import BestModel


def lines(best: BestModel | None, stopped: str) -> Iterator[str]:
    """What there is to say."""
    if best is not None:
        yield f"best by {best.metric}, {number(best.value)} in round {best.round}: {best.model.key}"
    if stopped:
        yield f"no more rounds: {stopped}"
