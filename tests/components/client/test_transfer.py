import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config

from components.client import transfer
from components.client.transfer import InvalidModelError, Transfer
from protocol.messages import ModelReference
from sandbox.embedded_aws import EmbeddedAws
from tests.components.client.conftest import BUCKET

BODY = bytes(range(256)) * 5000


def reference(body: bytes = BODY, key: str = "federations/f/models/00000000.safetensors") -> ModelReference:
    return ModelReference(key=key, sha256=hashlib.sha256(body).hexdigest(), bytes=len(body))


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def moved(as_device: EmbeddedAws, failures: list[str]) -> Transfer:
    as_device.client("s3").put_object(Bucket=BUCKET, Key=reference().key, Body=BODY)
    return Transfer(transfer.client(), BUCKET, failures.append)


def test_a_model_is_downloaded_and_checked(moved: Transfer, failures: list[str]) -> None:
    assert moved.download(reference()) == BODY
    assert failures == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (reference(BODY[:-1]), "has 1280000 bytes, the assignment says 1279999"),
        (reference(b"x" + BODY[1:]), "has SHA-256"),
        (reference(key="federations/f/models/00000009.safetensors"), "there is no model"),
    ],
)
def test_an_object_that_is_not_the_model_is_refused_at_once(
    moved: Transfer, failures: list[str], wrong: ModelReference, message: str
) -> None:
    with pytest.raises(InvalidModelError, match=message):
        moved.download(wrong)
    assert failures == []


def test_an_update_is_uploaded(moved: Transfer, as_device: EmbeddedAws) -> None:
    moved.upload("federations/f/updates/00000001/t.safetensors", BODY)
    found = as_device.client("s3").get_object(Bucket=BUCKET, Key="federations/f/updates/00000001/t.safetensors")
    assert found["Body"].read() == BODY


def test_what_fails_is_tried_again_until_it_succeeds(flaky: Callable[..., Transfer], failures: list[str]) -> None:
    moved = flaky(["refuse", "cut", "serve"])
    assert moved.download(reference()) == BODY
    assert len(failures) == 2
    assert all(reference().key in failure for failure in failures)
    assert "AccessDenied" in failures[0]


@pytest.fixture
def flaky(failures: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Transfer]]:
    """A Transfer whose S3 answers as told, one request after the other."""
    monkeypatch.setattr(transfer, "FIRST_RETRY_S", 0.01)
    answers: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.pop(0)
            if answer == "refuse":
                body = b"<Error><Code>AccessDenied</Code><Message>not yours</Message></Error>"
                self.send_response(403)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY if answer == "serve" else BODY[:1000])
            self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def make(told: list[str]) -> Transfer:
        answers[:] = told
        s3 = boto3.session.Session(aws_access_key_id="a", aws_secret_access_key="b").client(  # noqa: S106
            "s3",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{server.server_port}",
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )
        return Transfer(s3, BUCKET, failures.append)

    yield make
    server.shutdown()
    thread.join()
    server.server_close()
