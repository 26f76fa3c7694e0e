"""Sessions of AWS's SDK."""

from functools import cache
from typing import Any

import boto3
import botocore.session
from botocore.exceptions import NoRegionError
from botocore.loaders import Loader, create_loader


def session(**credentials: Any) -> boto3.Session:
    """With these credentials and this Region, as `boto3.Session` has them; by default the configuration's.

    Raises:
        NoRegionError: the Region is empty, from which boto3 makes requests that nobody can sign.
    """
    core = botocore.session.Session()
    core.register_component("data_loader", _what_is_known_of_services())
    made = boto3.Session(**credentials, botocore_session=core)
    if made.region_name == "":
        raise NoRegionError
    return made


@cache
def _what_is_known_of_services() -> Loader:
    """To read it takes most of the time that a client takes to make; a session of its own would read it anew."""
    return create_loader()
