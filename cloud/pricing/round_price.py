"""What AWS asks for a round, in dollars: the one place for what `fedgrass watch`, reports and budgets say."""

import math
from collections.abc import Callable
from functools import cache

from cloud.averager.work.sharding import TooMuchWorkError
from cloud.pricing.prices import REGION, by_region, prices_of
from cloud.pricing.round_forecast import forecast_round
from cloud.settings import Federation
from cloud.state.records import RoundRecord
from protocol.messages import ModelHeader, decode
from protocol.tensors import Header

RoundPrice = Callable[[int, bool], dict[str, float]]
"""What a round with so many clients costs, by what is paid for: one that evaluates, or one that trains."""


def price_of(header: Header, about: ModelHeader, settings: Federation, region: str) -> RoundPrice | None:
    """The price of rounds with a model like this one. None if it is too large for functions of AWS.

    Raises:
        UnknownRegionError: the Region's prices are not known.
    """
    prices = prices_of(region)

    @cache
    def price(clients: int, evaluates: bool) -> dict[str, float]:
        found = forecast_round(
            header,
            about,
            max(1, clients),
            settings.averaging,
            settings.encoding,
            prices,
            has_bfloat16=settings.has_bfloat16_copy,
            evaluates=evaluates,
        )
        return {name: amount for name, amount in found.dollars.items() if amount}

    try:
        price(1, False)
    except TooMuchWorkError:
        return None
    return price


def paid_clients(settings: Federation, cohort: int, target: int) -> int:
    """How many clients a round is paid for: its cohort; where rounds don't wait for their cohort, the updates that it
    waits for."""
    return target if settings.max_staleness else cohort


def dollars_of(record: RoundRecord, header: Header, region: str) -> float | None:
    """What a round costs whose base model has this header, if its price is known: by the prices of this Region, or of
    REGION, if its own are not known."""
    settings = record.settings
    price = price_of(header, decode(header.message, ModelHeader), settings, region if region in by_region() else REGION)
    try:
        found = price and price(paid_clients(settings, len(record.cohort), record.target), record.evaluates)
    except TooMuchWorkError:
        return None
    return math.fsum(found.values()) if found else None
