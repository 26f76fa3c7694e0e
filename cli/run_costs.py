"""What AWS asks for the rounds of a run: an estimate, as `fedgrass plan` makes it."""

from functools import cache
from pathlib import Path

from cli.planning.forecast import forecast
from cli.planning.models import headers_of
from cloud.averager.work.sharding import TooMuchWorkError
from reporting.pictures.recorded_run import Costs, RecordedRun


def costs_of(run: RecordedRun, model: Path, region: str) -> Costs | None:
    """Each round's, by its cohort and the size of the model; where rounds don't wait for their cohort, by the updates
    that they wait for. None if there is no model, or one that is too large for
    functions of AWS.

    Raises:
        InvalidTensorsError, InvalidMessageError: the model's file can't be read.
        UnknownRegionError: the Region's prices are not known.
    """
    if run.summary.model is None or not model.exists():
        return None
    header, about = headers_of(model)
    settings = run.settings

    @cache
    def round_with(clients: int) -> dict[str, float]:
        found = forecast(
            header,
            about,
            clients,
            settings.averaging,
            settings.encoding,
            region,
            has_bfloat16=settings.has_bfloat16_copy,
        )
        return {name: amount for name, amount in found.dollars.items() if amount}

    try:
        by_round = {
            line.round: round_with(max(1, line.target if settings.max_staleness else line.cohort))
            for line in run.rounds
        }
    except TooMuchWorkError:
        return None
    return Costs(region=region, by_round=by_round)
