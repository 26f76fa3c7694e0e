"""What is paid for in AWS, and how a price is told."""

import msgspec

REGION = "us-east-1"
"""Whose prices count where those of a Region are not known, or no Region is named."""

GB = 1e9
"""What S3, data transfer and logs are billed by; Lambda's GB-seconds are of 1,024 MB."""


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
