import urllib.request
from typing import Any
from urllib.error import HTTPError

import pytest
from botocore.exceptions import EndpointConnectionError

from sandbox.greengrass.server import GreengrassServer


class OfAnAwsThatHasEnded:
    def call(self, _operation: str, _parameters: dict[str, Any]) -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")


def test_a_call_that_comes_when_the_embedded_aws_has_ended_is_refused_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service: Any = OfAnAwsThatHasEnded()
    server = GreengrassServer(service)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}/greengrass/v2/components"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with pytest.raises(HTTPError) as refused:
            opener.open(urllib.request.Request(url, headers=server.headers), timeout=60)
        with refused.value as answer:
            assert answer.code == 500
            assert "Could not connect to the endpoint URL" in answer.read().decode()
    finally:
        server.stop()
    assert caplog.records == []
