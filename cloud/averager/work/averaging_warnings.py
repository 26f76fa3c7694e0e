"""What is wrong with what a round averages, or with the model that it makes."""

from collections.abc import Iterable, Sequence

from cloud.averaging.accepted_updates import AcceptedUpdate
from cloud.averaging.outliers import far_norms
from cloud.state.round_warnings import merged, negative_variance, saturated


def averaging_warnings(
    sources: Sequence[AcceptedUpdate], negative: Iterable[str], largest: Iterable[str]
) -> tuple[str, ...]:
    """The warnings of a round with these updates; of the new model, variances that are `negative`, and tensors that
    have the `largest` value of float16."""
    return merged(without_base(sources), far_norms(sources), map(negative_variance, negative), map(saturated, largest))


def without_base(sources: Sequence[AcceptedUpdate]) -> list[str]:
    """The warnings of a round that has left out the values of some updates."""
    rounds = [source.report.round for source in sources if source.base is None]
    return [
        f"buffers and integers of {rounds.count(number)} late updates are left out: "
        f"the model that round {number} began with can't be read any more"
        for number in sorted(set(rounds))
    ]
