"""What AWS asks for the rounds of a run: an estimate, as `fedgrass plan` makes it."""

from pathlib import Path

from cli.planning.models import headers_of
from cli.round_prices import Price, price_of
from cloud.averager.work.sharding import TooMuchWorkError
from reporting.pictures.recorded_run import Costs, RecordedRun


def costs_of(run: RecordedRun, model: Path, region: str) -> Costs | None:
    """Each round's, by its cohort and the size of the model; where rounds don't wait for their cohort, by the updates
    that they wait for. None if there is no model, or one that is too large for functions of AWS.

    Raises:
        InvalidTensorsError, InvalidMessageError: the model's file can't be read.
        UnknownRegionError: the Region's prices are not known.
    """
    if run.summary.model is None or not model.exists():
        return None
    price = price_of(*headers_of(model), run.settings, region)
    return None if price is None else costs_by(price, run, region)


def costs_by(price: Price, run: RecordedRun, region: str) -> Costs | None:
    """The same, by the price of a round."""
    is_buffered = bool(run.settings.max_staleness)
    try:
        by_round = {line.round: price(line.target if is_buffered else line.cohort) for line in run.rounds}
    except TooMuchWorkError:
        return None
    return Costs(region=region, by_round=by_round)
