"""What AWS asks for rounds, in dollars: an estimate, as `fedgrass plan` makes it."""

import math
from collections.abc import Callable
from functools import cache

from cli.planning.forecast import forecast
from cli.planning.region import priced_region
from cloud.averager.work.sharding import TooMuchWorkError
from cloud.settings import Federation
from cloud.state.models import MissingObjectError, Models
from cloud.state.records import FederationRecord
from protocol.messages import ModelHeader, decode
from protocol.tensors import Header, parse_header
from reporting.view import View

Price = Callable[[int], dict[str, float]]
"""What a round with so many clients costs, by what is paid for."""


def price_of(header: Header, about: ModelHeader, settings: Federation, region: str) -> Price | None:
    """The price of rounds with a model like this one. None if it is too large for functions of AWS.

    Raises:
        UnknownRegionError: the Region's prices are not known.
    """

    @cache
    def price(clients: int) -> dict[str, float]:
        found = forecast(
            header,
            about,
            max(1, clients),
            settings.averaging,
            settings.encoding,
            region,
            has_bfloat16=settings.has_bfloat16_copy,
        )
        return {name: amount for name, amount in found.dollars.items() if amount}

    try:
        price(1)
    except TooMuchWorkError:
        return None
    return price


def price_in(models: Models, record: FederationRecord) -> Price | None:
    """The price of a federation's rounds, by its model. None if there is no model, or one that is too large."""
    try:
        header = models.header(record.model.key)
    except MissingObjectError:
        return None
    return price_of(header, decode(header.message, ModelHeader), record.settings, priced_region())


def price_of_model(model: bytes, settings: Federation) -> Price | None:
    """The same, by a model's file."""
    header = parse_header(model, len(model))
    return price_of(header, decode(header.message, ModelHeader), settings, priced_region())


def dollars_by(price: Price | None) -> Callable[[View], float | None]:
    """What the rounds of a view have cost, if the price is known."""

    def dollars(view: View) -> float | None:
        if price is None:
            return None
        return math.fsum(amount for clients in view.clients() for amount in price(clients).values())

    return dollars
