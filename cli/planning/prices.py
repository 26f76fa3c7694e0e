"""What AWS asks for, by Region: prices.toml beside this file, which has the day and the source of each price."""

from pathlib import Path

import msgspec

FILE = Path(__file__).with_name("prices.toml")

GB = 1e9
"""What S3, data transfer and logs are billed by; Lambda's GB-seconds are of 1,024 MB."""


class UnknownRegionError(ValueError):
    """A Region whose prices are not known; the text names those that are."""


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`dollars` for each `per` of a `unit`; it held in the month `as_of`, and `source` is where to check it."""

    dollars: float
    per: float
    unit: str
    as_of: str
    source: str

    def of(self, count: float) -> float:
        """What so many cost, in dollars."""
        return self.dollars * count / self.per


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


def by_region() -> dict[str, Prices]:
    """The prices of each Region that has known ones."""
    return msgspec.toml.decode(FILE.read_bytes(), type=dict[str, Prices])


def prices_of(region: str) -> Prices:
    """The prices of a Region.

    Raises:
        UnknownRegionError: they are not known.
    """
    known = by_region()
    if region not in known:
        raise UnknownRegionError(f"no prices of Region {region!r} are known, only those of {', '.join(known)}")
    return known[region]
