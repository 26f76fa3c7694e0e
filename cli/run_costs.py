"""What AWS asks for the rounds of a run: an estimate, as `fedgrass plan` makes it."""

from pathlib import Path

from cli.planning.models import headers_of
from cli.planning.region import priced_region
from cloud.averager.work.sharding import TooMuchWorkError
from cloud.pricing.round_price import RoundPrice, paid_clients, price_of
from cloud.state.models import MissingObjectError, Models
from cloud.state.records import FederationRecord
from protocol.messages import ModelHeader, decode
from reporting.pictures.recorded_run import Costs, RecordedRun


def costs_of(run: RecordedRun, model: Path, region: str) -> Costs | None:
    """Each round's, by its clients and the size of the model. None if there is no model, or one that is too large for
    functions of AWS.

    Raises:
        InvalidTensorsError, InvalidMessageError: the model's file can't be read.
        UnknownRegionError: the Region's prices are not known.
    """
    if run.summary.model is None or not model.exists():
        return None
    price = price_of(*headers_of(model), run.settings, region)
    return None if price is None else costs_by(price, run, region)


def price_in(models: Models, record: FederationRecord) -> RoundPrice | None:
    """The price of a federation's rounds, by its model. None if there is no model, or one that is too large."""
    try:
        header = models.header(record.model.key)
    except MissingObjectError:
        return None
    return price_of(header, decode(header.message, ModelHeader), record.settings, priced_region())


def costs_by(price: RoundPrice, run: RecordedRun, region: str) -> Costs | None:
    """The same as `costs_of`, by the price of a round."""
    try:
        by_round = {
            line.round: price(paid_clients(run.settings, line.cohort, line.target), line.evaluates)
            for line in run.rounds
        }
    except TooMuchWorkError:
        return None
    return Costs(region=region, by_round=by_round)
