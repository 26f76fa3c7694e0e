"""AWS's list prices by Region: on demand, in US dollars, the first tier, without free tiers and discounts.

`as_of` is when a price was last known to hold, and `source` is AWS's own page, or price list, to check it on. A price
list ("/offers/...") has the numbers that AWS bills by, and the day on which it was published.
"""

from cloud.pricing.prices import Price, Prices

_PAGES = "https://aws.amazon.com"
_OFFERS = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws"

BY_REGION: dict[str, Prices] = {
    "us-east-1": Prices(
        lambda_gb_s=Price(
            dollars=0.0000133334,
            per=1,
            unit="GB-second of Lambda on arm64",
            as_of="2026-05",
            source=f"{_PAGES}/lambda/pricing/",
        ),
        lambda_request=Price(
            dollars=0.2,
            per=1_000_000,
            unit="Lambda invocations",
            as_of="2026-05",
            source=f"{_PAGES}/lambda/pricing/",
        ),
        s3_write=Price(
            dollars=0.005,
            per=1_000,
            unit="PUT, POST or LIST requests to S3",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonS3/current/us-east-1/index.json",
        ),
        s3_read=Price(
            dollars=0.0004,
            per=1_000,
            unit="GET requests to S3",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonS3/current/us-east-1/index.json",
        ),
        s3_gb_month=Price(
            dollars=0.023,
            per=1,
            unit="GB-month of S3 Standard",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonS3/current/us-east-1/index.json",
        ),
        data_out_gb=Price(
            dollars=0.09,
            per=1,
            unit="GB from AWS to the internet",
            as_of="2026-07",
            source=f"{_OFFERS}/AWSDataTransfer/current/us-east-1/index.json",
        ),
        dynamodb_write=Price(
            dollars=0.625,
            per=1_000_000,
            unit="DynamoDB write request units",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonDynamoDB/current/us-east-1/index.json",
        ),
        dynamodb_read=Price(
            dollars=0.125,
            per=1_000_000,
            unit="DynamoDB read request units",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonDynamoDB/current/us-east-1/index.json",
        ),
        sqs_request=Price(
            dollars=0.4,
            per=1_000_000,
            unit="SQS requests",
            as_of="2026-03",
            source=f"{_PAGES}/sqs/pricing/",
        ),
        iot_message=Price(
            dollars=1.0,
            per=1_000_000,
            unit="AWS IoT Core messages",
            as_of="2026-09",
            source=f"{_PAGES}/iot-core/pricing/",
        ),
        iot_minute=Price(
            dollars=0.08,
            per=1_000_000,
            unit="minutes of connection to AWS IoT Core",
            as_of="2026-09",
            source=f"{_PAGES}/iot-core/pricing/",
        ),
        iot_shadow=Price(
            dollars=1.25,
            per=1_000_000,
            unit="device shadow operations of 1 kB",
            as_of="2026-09",
            source=f"{_PAGES}/iot-core/pricing/",
        ),
        iot_rule=Price(
            dollars=0.15,
            per=1_000_000,
            unit="AWS IoT rules triggered, or actions of one",
            as_of="2026-06",
            source=f"{_PAGES}/iot-core/pricing/",
        ),
        greengrass_core=Price(
            dollars=0.16,
            per=1,
            unit="Greengrass core device a month",
            as_of="2026-10",
            source=f"{_PAGES}/greengrass/pricing/",
        ),
        metric=Price(
            dollars=0.3,
            per=1,
            unit="CloudWatch metric a month",
            as_of="2026-11",
            source=f"{_PAGES}/cloudwatch/pricing/",
        ),
        alarm=Price(
            dollars=0.1,
            per=1,
            unit="CloudWatch alarm a month",
            as_of="2026-11",
            source=f"{_PAGES}/cloudwatch/pricing/",
        ),
        dashboard=Price(
            dollars=3.0,
            per=1,
            unit="CloudWatch dashboard a month",
            as_of="2026-06",
            source=f"{_PAGES}/cloudwatch/pricing/",
        ),
        log_gb=Price(
            dollars=0.5,
            per=1,
            unit="GB of logs taken in by CloudWatch",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonCloudWatch/current/us-east-1/index.json",
        ),
    ),
    "eu-west-1": Prices(
        lambda_gb_s=Price(
            dollars=0.0000133334,
            per=1,
            unit="GB-second of Lambda on arm64",
            as_of="2026-10",
            source=f"{_OFFERS}/AWSLambda/current/eu-west-1/index.json",
        ),
        lambda_request=Price(
            dollars=0.2,
            per=1_000_000,
            unit="Lambda invocations",
            as_of="2026-10",
            source=f"{_OFFERS}/AWSLambda/current/eu-west-1/index.json",
        ),
        s3_write=Price(
            dollars=0.005,
            per=1_000,
            unit="PUT, POST or LIST requests to S3",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonS3/current/eu-west-1/index.json",
        ),
        s3_read=Price(
            dollars=0.0004,
            per=1_000,
            unit="GET requests to S3",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonS3/current/eu-west-1/index.json",
        ),
        s3_gb_month=Price(
            dollars=0.023,
            per=1,
            unit="GB-month of S3 Standard",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonS3/current/eu-west-1/index.json",
        ),
        data_out_gb=Price(
            dollars=0.09,
            per=1,
            unit="GB from AWS to the internet",
            as_of="2026-07",
            source=f"{_OFFERS}/AWSDataTransfer/current/eu-west-1/index.json",
        ),
        dynamodb_write=Price(
            dollars=0.705,
            per=1_000_000,
            unit="DynamoDB write request units",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonDynamoDB/current/eu-west-1/index.json",
        ),
        dynamodb_read=Price(
            dollars=0.1415,
            per=1_000_000,
            unit="DynamoDB read request units",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonDynamoDB/current/eu-west-1/index.json",
        ),
        sqs_request=Price(
            dollars=0.4,
            per=1_000_000,
            unit="SQS requests",
            as_of="2026-09",
            source=f"{_OFFERS}/AWSQueueService/current/eu-west-1/index.json",
        ),
        iot_message=Price(
            dollars=1.0,
            per=1_000_000,
            unit="AWS IoT Core messages",
            as_of="2026-09",
            source=f"{_PAGES}/iot-core/pricing/",
        ),
        iot_minute=Price(
            dollars=0.08,
            per=1_000_000,
            unit="minutes of connection to AWS IoT Core",
            as_of="2026-09",
            source=f"{_PAGES}/iot-core/pricing/",
        ),
        # What shadows and rules cost in Ireland could not be read: connections and messages cost what they do in
        # us-east-1.
        iot_shadow=Price(
            dollars=1.25,
            per=1_000_000,
            unit="device shadow operations of 1 kB",
            as_of="2026-09",
            source=f"{_PAGES}/iot-core/pricing/ (as in us-east-1: check it)",
        ),
        iot_rule=Price(
            dollars=0.15,
            per=1_000_000,
            unit="AWS IoT rules triggered, or actions of one",
            as_of="2026-06",
            source=f"{_PAGES}/iot-core/pricing/ (as in us-east-1: check it)",
        ),
        greengrass_core=Price(
            dollars=0.18,
            per=1,
            unit="Greengrass core device a month",
            as_of="2024-10",
            source=f"{_OFFERS}/AWSGreengrass/current/eu-west-1/index.json",
        ),
        metric=Price(
            dollars=0.3,
            per=1,
            unit="CloudWatch metric a month",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonCloudWatch/current/eu-west-1/index.json",
        ),
        alarm=Price(
            dollars=0.1,
            per=1,
            unit="CloudWatch alarm a month",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonCloudWatch/current/eu-west-1/index.json",
        ),
        dashboard=Price(
            dollars=3.0,
            per=1,
            unit="CloudWatch dashboard a month",
            as_of="2026-06",
            source=f"{_PAGES}/cloudwatch/pricing/",
        ),
        log_gb=Price(
            dollars=0.57,
            per=1,
            unit="GB of logs taken in by CloudWatch",
            as_of="2026-08",
            source=f"{_OFFERS}/AmazonCloudWatch/current/eu-west-1/index.json",
        ),
    ),
}


class UnknownRegionError(ValueError):
    """A Region whose prices are not known; the text names those that are."""


def prices_of(region: str) -> Prices:
    """The prices of a Region.

    Raises:
        UnknownRegionError: they are not known.
    """
    if region not in BY_REGION:
        raise UnknownRegionError(f"no prices of Region {region!r} are known, only those of {', '.join(BY_REGION)}")
    return BY_REGION[region]
