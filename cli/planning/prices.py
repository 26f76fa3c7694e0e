"""AWS list prices in us-east-1, on demand, without free tiers and volume discounts.

Prices change: `as_of` is the month for which each was last reported, which AWS's own pages do not say; `page` is the
one of these to check it on.
"""

import msgspec

REGION = "us-east-1"

GB = 1e9
"""What S3 and data transfer are billed by; Lambda's GB-seconds are of 1,024 MB."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """`dollars` for each `per` of a `unit`."""

    unit: str
    dollars: float
    per: float
    page: str
    as_of: str

    def of(self, count: float) -> float:
        """What so many cost, in dollars."""
        return self.dollars * count / self.per


_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_S3 = "https://aws.amazon.com/s3/pricing/"
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_SQS = "https://aws.amazon.com/sqs/pricing/"
_IOT = "https://aws.amazon.com/iot-core/pricing/"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"

LAMBDA_GB_S = Price(unit="GB-second of Lambda on arm64", dollars=0.0000133334, per=1, page=_LAMBDA, as_of="2026-05")
LAMBDA_REQUEST = Price(unit="Lambda invocation", dollars=0.20, per=1e6, page=_LAMBDA, as_of="2026-05")
S3_WRITE = Price(unit="PUT, POST or LIST request to S3", dollars=0.005, per=1e3, page=_S3, as_of="2025-01")
S3_READ = Price(unit="GET request to S3", dollars=0.0004, per=1e3, page=_S3, as_of="2025-01")
S3_GB_MONTH = Price(unit="GB-month of S3 Standard", dollars=0.023, per=1, page=_S3, as_of="2025-01")
DATA_OUT_GB = Price(unit="GB from S3 to the internet", dollars=0.09, per=1, page=_S3, as_of="2025-01")
DYNAMODB_WRITE = Price(unit="DynamoDB write request unit", dollars=0.625, per=1e6, page=_DYNAMODB, as_of="2024-11")
DYNAMODB_READ = Price(unit="DynamoDB read request unit", dollars=0.125, per=1e6, page=_DYNAMODB, as_of="2024-11")
SQS_REQUEST = Price(unit="SQS request", dollars=0.40, per=1e6, page=_SQS, as_of="2026-03")
IOT_MESSAGE = Price(unit="AWS IoT Core message", dollars=1.00, per=1e6, page=_IOT, as_of="2026-09")
IOT_SHADOW = Price(unit="device shadow operation of 1 kB", dollars=1.25, per=1e6, page=_IOT, as_of="2026-09")
IOT_RULE = Price(unit="AWS IoT rule triggered, or action of one", dollars=0.15, per=1e6, page=_IOT, as_of="2026-06")
IOT_MINUTE = Price(unit="minute of connection to AWS IoT Core", dollars=0.08, per=1e6, page=_IOT, as_of="2026-09")
METRIC = Price(unit="CloudWatch metric a month", dollars=0.30, per=1, page=_CLOUDWATCH, as_of="2026-11")
LOGS_GB = Price(unit="GB of CloudWatch logs", dollars=0.50, per=1, page=_CLOUDWATCH, as_of="2026-06")
ALARM = Price(unit="CloudWatch alarm a month", dollars=0.10, per=1, page=_CLOUDWATCH, as_of="2026-11")

ALL = (
    LAMBDA_GB_S,
    LAMBDA_REQUEST,
    S3_WRITE,
    S3_READ,
    S3_GB_MONTH,
    DATA_OUT_GB,
    DYNAMODB_WRITE,
    DYNAMODB_READ,
    SQS_REQUEST,
    IOT_MESSAGE,
    IOT_SHADOW,
    IOT_RULE,
    IOT_MINUTE,
    METRIC,
    ALARM,
)
