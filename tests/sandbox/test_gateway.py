import io
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from sandbox.embedded_aws import EmbeddedAws
from sandbox.gateway import Gateway, Request

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
    delay_s = 5 * DELAY_S  # in turn they would take a multiple of what a busy machine adds
    with Gateway(delay_s) as gateway, ThreadPoolExecutor(20) as pool:
        gateway.upstream = aws.endpoint
        sts = aws.session().client("sts", endpoint_url=gateway.endpoint, config=Config(max_pool_connections=20))
        start = time.monotonic()
        list(pool.map(lambda _: sts.get_caller_identity(), range(20)))
        assert time.monotonic() - start < 20 * delay_s / 2


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
            client.settimeout(60)
            for _ in range(2):
                client.sendall(request)
                got = b""
                while len(got) < len(answer):
                    got += client.recv(100)
                assert got == answer
        server.join()
    assert received == request * 2


REFUSAL = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_what_a_fault_refuses_is_answered_at_once_and_never_reaches_aws(aws: EmbeddedAws) -> None:
    seen: list[Request] = []

    def refuse_the_first_of_each_kind(request: Request) -> bytes | None:
        first = all(request.method != other.method for other in seen)
        seen.append(request)
        return REFUSAL if first else None

    data = os.urandom(3_000_000)
    with Gateway(0.0, refuse_the_first_of_each_kind) as gateway:
        gateway.upstream = aws.endpoint
        config = Config(retries={"mode": "standard", "total_max_attempts": 2})
        s3 = aws.session().client("s3", endpoint_url=gateway.endpoint, config=config)
        aws.client("s3").create_bucket(Bucket="refused")
        s3.put_object(Bucket="refused", Key="bytes", Body=data)
        assert s3.get_object(Bucket="refused", Key="bytes")["Body"].read() == data
    asked = [(request.method, request.path) for request in seen]
    assert asked == [("PUT", "/refused/bytes")] * 2 + [("GET", "/refused/bytes")] * 2
    assert len(aws.client("s3").list_objects_v2(Bucket="refused")["Contents"]) == 1


def test_a_refused_upload_that_asks_first_is_not_sent(aws: EmbeddedAws) -> None:
    with Gateway(0.0, lambda _: REFUSAL) as gateway:
        gateway.upstream = aws.endpoint
        config = Config(retries={"mode": "standard", "total_max_attempts": 1})
        s3 = aws.session().client("s3", endpoint_url=gateway.endpoint, config=config)
        body = io.BytesIO(bytes(3_000_000))
        with pytest.raises(ClientError, match="503"):
            s3.put_object(Bucket="refused", Key="stream", Body=body)


def test_a_fault_may_leave_a_request_without_an_answer(aws: EmbeddedAws) -> None:
    with Gateway(0.0, lambda _: b"") as gateway:
        gateway.upstream = aws.endpoint
        config = Config(retries={"mode": "standard", "total_max_attempts": 1})
        sts = aws.session().client("sts", endpoint_url=gateway.endpoint, config=config)
        with pytest.raises(ConnectionClosedError):
            sts.get_caller_identity()


def test_a_fault_is_told_the_port_that_the_request_came_from(aws: EmbeddedAws) -> None:
    seen: list[Request] = []

    def look(request: Request) -> None:
        seen.append(request)

    with Gateway(0.0, look) as gateway:
        gateway.upstream = aws.endpoint
        with socket.create_connection(("127.0.0.1", int(gateway.endpoint.rpartition(":")[2]))) as client:
            client.sendall(b"GET /a/b?c=d HTTP/1.1\r\nX-Name: Value\r\n\r\n")
            client.recv(100)
            port = client.getsockname()[1]
    assert seen == [Request("GET", "/a/b", {"x-name": "Value"}, port)]
