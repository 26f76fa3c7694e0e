"""The Region whose prices count, if none is named."""

from cloud.pricing.prices import REGION, by_region


def own_region() -> str | None:
    """Your AWS configuration's.

    Raises:
        BotoCoreError: it is wrong.
    """
    import boto3

    return boto3.Session().region_name


def priced_region() -> str:
    """Your AWS configuration's, if it can be read, and the Region's prices are known; else REGION."""
    from botocore.exceptions import BotoCoreError

    try:
        region = own_region()
    except BotoCoreError:  # such as a profile that is not there: nothing was to be asked of AWS
        return REGION
    return region if region is not None and region in by_region() else REGION
