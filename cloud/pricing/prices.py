"""What is paid for in AWS, how a price is told, and AWS's list prices by Region: those of prices.toml."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

REGION = "us-east-1"
"""Whose prices count where those of a Region are not known, or no Region is named."""

GB = 1e9
"""What S3, data transfer and logs are billed by; Lambda's GB-seconds are of 1,024 MB."""

_LIST = Path(__file__).with_name("prices.toml")


class UnknownRegionError(ValueError):
    """A Region whose prices are not known; the text names those that are."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """`dollars` for each `per` of a `unit`; it held in the month `as_of`, and `source` is where to check it."""

    dollars: float
    per: float
    unit: str
    as_of: str
    source: str

    def of(self, count: float) -> float:
        """What so many cost, in dollars."""
        return self.dollars * count / self.per


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """All that is paid for in a Region."""

    lambda_gb_s: Price
    lambda_request: Price
    s3_write: Price
    s3_read: Price
    s3_gb_month: Price
    data_out_gb: Price
    dynamodb_write: Price
    dynamodb_read: Price
    sqs_request: Price
    iot_message: Price
    iot_minute: Price
    iot_shadow: Price
    iot_rule: Price
    greengrass_core: Price
    metric: Price
    alarm: Price
    dashboard: Price
    log_gb: Price


@cache
def by_region() -> Mapping[str, Prices]:
    """The prices of each Region that the list has."""
    found: dict[str, dict[str, Price]] = {}
    for name, entry in tomllib.loads(_LIST.read_text()).items():
        unit, per = entry.pop("unit"), entry.pop("per")
        for region, price in entry.items():
            found.setdefault(region, {})[name] = Price(unit=unit, per=per, **price)
    return {region: Prices(**prices) for region, prices in found.items()}


def prices_of(region: str) -> Prices:
    """The prices of a Region.

    Raises:
        UnknownRegionError: they are not known.
    """
    known = by_region()
    if region not in known:
        raise UnknownRegionError(f"no prices of Region {region!r} are known, only those of {', '.join(known)}")
    return known[region]
