import io
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.config import Config

from sandbox.embedded_aws import EmbeddedAws
from sandbox.gateway import Gateway

DELAY_S = 0.2


def test_signed_requests_of_every_kind_pass(aws: EmbeddedAws) -> None:
    data = os.urandom(9_000_000)
    with Gateway(0.0) as gateway:
        gateway.upstream = aws.endpoint
        s3 = aws.session().client("s3", endpoint_url=gateway.endpoint)
        s3.create_bucket(Bucket="through-gateway")
        s3.upload_fileobj(io.BytesIO(data), "through-gateway", "multipart")
        s3.put_object(Bucket="through-gateway", Key="expect-100", Body=io.BytesIO(data[:100_000]))
        assert s3.get_object(Bucket="through-gateway", Key="multipart")["Body"].read() == data
        assert s3.get_object(Bucket="through-gateway", Key="expect-100")["Body"].read() == data[:100_000]


def test_each_request_waits_also_on_a_connection_that_is_kept(aws: EmbeddedAws) -> None:
    with Gateway(DELAY_S) as gateway:
        gateway.upstream = aws.endpoint
        sts = aws.session().client("sts", endpoint_url=gateway.endpoint)
        for _ in range(3):
            start = time.monotonic()
            sts.get_caller_identity()
            assert time.monotonic() - start >= DELAY_S


def test_requests_in_parallel_do_not_wait_for_each_other(aws: EmbeddedAws) -> None:
    with Gateway(DELAY_S) as gateway, ThreadPoolExecutor(20) as pool:
        gateway.upstream = aws.endpoint
        sts = aws.session().client("sts", endpoint_url=gateway.endpoint, config=Config(max_pool_connections=20))
        start = time.monotonic()
        list(pool.map(lambda _: sts.get_caller_identity(), range(20)))
        assert time.monotonic() - start < 20 * DELAY_S / 2


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nabcde",
        b"Transfer-Encoding: chunked\r\n\r\n5;chunk-signature=x\r\nabcde\r\n0\r\nx-trailer:  1\r\n\r\n",
        b"\r\n",
    ],
)
def test_bytes_pass_unchanged_in_both_directions(body: bytes) -> None:
    request = b"PUT /a%20b?x=1 HTTP/1.1\r\nHOST: Some.Host:1\r\nX-oDd:   spaces \r\n" + body
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-ODD: y\r\n\r\nok"
    with socket.create_server(("127.0.0.1", 0)) as upstream, Gateway(0.0) as gateway:
        gateway.upstream = f"http://127.0.0.1:{upstream.getsockname()[1]}"
        received = bytearray()

        def serve() -> None:
            connection, _ = upstream.accept()
            with connection:
                for _ in range(2):
                    size = len(received) + len(request)
                    while len(received) < size:
                        received.extend(connection.recv(size - len(received)))
                    connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        with socket.create_connection(("127.0.0.1", int(gateway.endpoint.rpartition(":")[2]))) as client:
            client.settimeout(10)
            for _ in range(2):
                client.sendall(request)
                got = b""
                while len(got) < len(answer):
                    got += client.recv(100)
                assert got == answer
        server.join()
    assert received == request * 2
