import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import msgspec
import pytest
from botocore.config import Config

from components.client.trainer.s3 import s3_client
from components.client.trainer.s3.download import CHUNK_BYTES, InvalidModelError
from components.client.trainer.s3.transfer import FIRST_RETRY_S, Transfer
from protocol.messages import ModelReference
from sandbox.embedded_aws import EmbeddedAws
from sandbox.gateway import Request
from tests.components.client.conftest import refusal
from tests.components.client.supervised import BUCKET
from tests.conftest import Line

BODY = bytes(range(256)) * 25_000  # more than one chunk


def reference(body: bytes = BODY, key: str = "federations/f/models/00000000.safetensors") -> ModelReference:
    return ModelReference(key=key, sha256=hashlib.sha256(body).hexdigest(), bytes=len(body))


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def waits(failures: list[str]) -> list[float]:
    """How long was waited before each new attempt: no time passes, but there is an end to it."""

    class Waits(list[float]):
        def append(self, wait: float) -> None:
            super().append(wait)
            assert len(self) < 20, failures[-1]

    return Waits()


NewTransfer = Callable[[], Transfer]


@pytest.fixture
def new(
    as_device: EmbeddedAws, line_to_s3: Line, tmp_path: Path, failures: list[str], waits: list[float]
) -> NewTransfer:
    """Each is that of another process on the same device; the model is in the bucket."""
    as_device.client("s3").put_object(Bucket=BUCKET, Key=reference().key, Body=BODY)
    return lambda: Transfer(s3_client.make, BUCKET, tmp_path / "round", failures.append, waits.append)


def test_a_model_is_downloaded_and_checked(new: NewTransfer, failures: list[str]) -> None:
    assert new().download(reference()) == BODY
    assert failures == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (reference(BODY[:-1]), "has 6400000 bytes, the assignment says 6399999"),
        (reference(b"x" + BODY[1:]), "has SHA-256"),
        (reference(key="federations/f/models/00000009.safetensors"), "there is no model"),
    ],
)
def test_an_object_that_is_not_the_model_is_refused_at_once(
    new: NewTransfer, failures: list[str], wrong: ModelReference, message: str
) -> None:
    with pytest.raises(InvalidModelError, match=message):
        new().download(wrong)
    assert failures == []


def test_an_update_is_uploaded(new: NewTransfer, as_device: EmbeddedAws) -> None:
    new().upload("updates/f/00000001/t.safetensors", BODY)
    found = as_device.client("s3").get_object(Bucket=BUCKET, Key="updates/f/00000001/t.safetensors")
    assert found["Body"].read() == BODY


LARGE = "updates/f/00000002/t.safetensors"


def test_a_large_update_whose_upload_was_cut_off_goes_on_with_the_part_that_is_missing(
    new: NewTransfer, as_device: EmbeddedAws, line_to_s3: Line, tmp_path: Path, failures: list[str]
) -> None:
    body = BODY * 5  # 32 MB: four parts
    puts: list[str] = []
    posts: list[str] = []

    def cut_the_third(request: Request) -> bytes | None:
        if request.method == "POST":
            posts.append(request.path)
        if request.method != "PUT":
            return None
        puts.append(request.path)
        return refusal(403, "AccessDenied") if len(puts) == 3 else None

    class PowerCutError(Exception):
        pass

    def power_cut(_wait: float) -> None:
        raise PowerCutError

    cut_off = new()
    cut_off._sleep = power_cut
    line_to_s3.fault = cut_the_third
    with pytest.raises(PowerCutError):
        cut_off.upload(LARGE, body)
    new().upload(LARGE, body)
    assert len(puts) == 5
    found = as_device.client("s3").get_object(Bucket=BUCKET, Key=LARGE)
    assert found["Body"].read() == body
    assert len(posts) == 2  # it is begun once, and completed


def test_a_large_upload_that_s3_has_forgotten_begins_anew(
    new: NewTransfer, as_device: EmbeddedAws, tmp_path: Path, failures: list[str]
) -> None:
    body = BODY * 3
    begun = {"bucket": BUCKET, "key": LARGE, "sha256": hashlib.sha256(body).hexdigest(), "id": "gone", "parts": []}
    (tmp_path / "round").mkdir()
    (tmp_path / "round" / "upload.json").write_bytes(msgspec.json.encode(begun))
    new().upload(LARGE, body)
    assert "NoSuchUpload" in failures[0]
    assert as_device.client("s3").head_object(Bucket=BUCKET, Key=LARGE)["ContentLength"] == len(body)


@pytest.mark.parametrize("note", [b"torn", b'{"bucket":"b","key":"k","sha256":"s","id":"another","parts":[]}'])
def test_a_note_of_another_upload_or_a_torn_one_is_dropped(
    new: NewTransfer, as_device: EmbeddedAws, tmp_path: Path, failures: list[str], note: bytes
) -> None:
    (tmp_path / "round").mkdir()
    (tmp_path / "round" / "upload.json").write_bytes(note)
    new().upload(LARGE, BODY * 3)
    assert failures == []


class Watched:
    """Notes what is asked of S3, and passes it on."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []

    def __call__(self, request: Request) -> bytes | None:
        if request.method == "GET":
            self.ranges.append(request.headers.get("range"))
        return None


def keep_beginning(directory: Path, beginning: bytes, etag: str, model: ModelReference) -> None:
    """As a process leaves it whose power is cut."""
    (directory / "round").mkdir()
    about = {"model": msgspec.to_builtins(model), "etag": etag}
    (directory / "round" / "model.json").write_bytes(msgspec.json.encode(about))
    (directory / "round" / "model.part").write_bytes(beginning)


def etag_of(aws: EmbeddedAws) -> str:
    return str(aws.client("s3").head_object(Bucket=BUCKET, Key=reference().key)["ETag"])


def test_what_an_earlier_process_got_is_not_asked_for_again(
    new: NewTransfer, as_device: EmbeddedAws, line_to_s3: Line, tmp_path: Path
) -> None:
    keep_beginning(tmp_path, BODY[:3_000_000], etag_of(as_device), reference())
    line_to_s3.fault = watched = Watched()
    assert new().download(reference()) == BODY
    assert watched.ranges == ["bytes=3000000-"]
    assert new().download(reference()) == BODY
    assert watched.ranges == ["bytes=3000000-"]  # all of it was there


@pytest.mark.parametrize(
    ("beginning", "ranges"),
    [
        (b"x" * 3_000_000, ["bytes=3000000-", None]),  # torn: found by the SHA-256 of the whole
        (BODY + b"x", [None]),
        (b"", [None]),
    ],
)
def test_a_beginning_that_is_of_no_use_is_dropped(
    new: NewTransfer,
    as_device: EmbeddedAws,
    line_to_s3: Line,
    tmp_path: Path,
    beginning: bytes,
    ranges: list[str | None],
) -> None:
    keep_beginning(tmp_path, beginning, etag_of(as_device), reference())
    line_to_s3.fault = watched = Watched()
    assert new().download(reference()) == BODY
    assert watched.ranges == ranges


def test_the_beginning_of_another_model_is_dropped(
    new: NewTransfer, as_device: EmbeddedAws, line_to_s3: Line, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep_beginning(tmp_path, BODY[:5000], etag_of(as_device), reference(BODY[::-1]))
    line_to_s3.fault = watched = Watched()
    assert new().download(reference()) == BODY
    assert watched.ranges == [None]
    assert "dropped the beginning of a model" in caplog.text


def test_an_object_that_has_changed_meanwhile_is_downloaded_anew(
    new: NewTransfer, line_to_s3: Line, tmp_path: Path, failures: list[str]
) -> None:
    keep_beginning(tmp_path, BODY[:5000], '"of-another-object"', reference())
    line_to_s3.fault = watched = Watched()
    assert new().download(reference()) == BODY
    assert watched.ranges == ["bytes=5000-", None]
    assert "PreconditionFailed" in failures[0]


def test_a_disk_that_takes_nothing_does_not_stop_a_download(
    new: NewTransfer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "round").write_text("no directory")
    assert new().download(reference()) == BODY
    assert caplog.text.count("cannot keep the model") == 1


def test_a_refusal_is_followed_by_longer_and_longer_waits(
    new: NewTransfer, line_to_s3: Line, failures: list[str], waits: list[float]
) -> None:
    line_to_s3.fault = lambda _request: refusal(403, "AccessDenied") if len(waits) < 10 else None
    assert new().download(reference()) == BODY
    assert len(failures) == 10
    longest = [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))


class TokenExchange:
    """A token exchange service: `answers` are its first ones, then it gives credentials, valid for `duration_s`."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.answers: Sequence[tuple[int, bytes]] = ()
        self.asked = 0
        self.duration_s = 3600.0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = service.answer(aws)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def answer(self, aws: EmbeddedAws) -> tuple[int, bytes]:
        self.asked += 1
        if self.asked <= len(self.answers):
            return self.answers[self.asked - 1]
        session = aws.client("sts").get_session_token()["Credentials"]
        return 200, credentials(
            AccessKeyId=session["AccessKeyId"],
            SecretAccessKey=session["SecretAccessKey"],
            Token=session["SessionToken"],
            Expiration=datetime.fromtimestamp(time.time() + self.duration_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )


def credentials(**changes: object) -> bytes:
    """An answer of the service; a value of None leaves the key out."""
    answer = {"AccessKeyId": "a", "SecretAccessKey": "s3cret", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
    return msgspec.json.encode({key: value for key, value in (answer | changes).items() if value is not None})


@pytest.fixture
def token_exchange(as_device: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenExchange]:
    service = TokenExchange(as_device)
    thread = threading.Thread(target=service.server.serve_forever)
    thread.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{service.server.server_port}/")
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.RETRY_ATTEMPTS", 1)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    yield service
    service.server.shutdown()
    thread.join()
    service.server.server_close()


def test_a_token_exchange_service_without_credentials_is_asked_again_after_minutes(
    new: NewTransfer, token_exchange: TokenExchange, failures: list[str], waits: list[float]
) -> None:
    token_exchange.answers = [(500, b"")] * 4
    assert new().download(reference()) == BODY
    assert all("no credentials from the token exchange service" in failure for failure in failures)
    assert all(longest / 2 <= wait <= longest for wait, longest in zip(waits, [60, 120, 240, 300], strict=True))


NONE_YET = {
    "null": ((200, b"null"), "got `null`"),
    "empty": ((200, b""), "Unable to parse JSON"),
    "object": ((200, b"{}"), "missing required field `AccessKeyId`"),
    "list": ((200, b"[]"), "got `array`"),
    "text": ((200, b'"later"'), "got `str`"),
    "number": ((200, b"403"), "got `int`"),
    "deep": ((200, b"[" * 100_000), "recursion"),
    "html": ((200, b"<html>captive portal</html>"), "Unable to parse JSON"),
    "bytes": ((200, b"\xff\xfe"), "can't decode byte 0xff"),
    "error": ((200, b'{"code": 403, "message": "no such role alias"}'), "no such role alias"),
    "half": ((200, credentials(Token=None)), "missing required field `Token`"),
    "key of null": ((200, b'{"AccessKeyId": null}'), "Expected `str`, got `null`"),
    "wrong type": ((200, credentials(SecretAccessKey=7)), r"Expected `str`, got `int` - at `\$.SecretAccessKey`"),
    "nothing in it": ((200, credentials(AccessKeyId="")), r"at `\$.AccessKeyId`"),
    "no header": (
        (200, credentials(Token="two\nlines")),  # noqa: S106
        r"at `\$.Token`",
    ),
    "no date": ((200, credentials(Expiration="soon")), r"at `\$.Expiration`"),
    "no zone": ((200, credentials(Expiration="2099-01-01T00:00:00")), r"at `\$.Expiration`"),
    "expired": ((200, credentials(Expiration="2020-01-01T00:00:00Z")), "have expired, at 2020-01-01"),
    "bad token": ((400, b"SVCUID length must be exactly 16."), "400 .*SVCUID length"),
    "unknown token": ((404, b"No such svcuid present."), "404 .*No such svcuid"),
    "unavailable": ((503, b"Failed to fetch SVCUID. Try again."), "503 .*Try again"),
    "error page": ((502, b"<html>" + b"x" * 10_000 + b"</html>"), "502 .* <html>x*"),
}
"""The service's answer, and what is told of it."""


@pytest.mark.parametrize(("answer", "told"), NONE_YET.values(), ids=NONE_YET)
def test_whatever_else_the_token_exchange_service_answers_means_no_credentials_yet(
    new: NewTransfer, token_exchange: TokenExchange, failures: list[str], answer: tuple[int, bytes], told: str
) -> None:
    token_exchange.answers = [answer] * 2
    assert new().download(reference()) == BODY
    assert len(failures) == 2
    for failure in failures:
        assert re.search(f"no credentials from the token exchange service: .*{told}", failure)
        assert "s3cret" not in failure
        assert len(failure) < 500


@pytest.mark.parametrize("of", [BODY, BODY * 3], ids=["in one piece", "in parts"])
@pytest.mark.parametrize(("answer", "told"), [NONE_YET["null"], NONE_YET["object"], NONE_YET["expired"]])
def test_credentials_that_cannot_be_renewed_are_waited_for(
    new: NewTransfer,
    token_exchange: TokenExchange,
    as_device: EmbeddedAws,
    failures: list[str],
    answer: tuple[int, bytes],
    told: str,
    of: bytes,
) -> None:
    token_exchange.duration_s = 300.0  # so botocore asks for new ones before each use
    transfer = new()
    transfer.download(reference())
    token_exchange.answers = [answer] * (token_exchange.asked + 2)
    transfer.upload(LARGE, of)
    assert as_device.client("s3").head_object(Bucket=BUCKET, Key=LARGE)["ContentLength"] == len(of)
    assert len(failures) == 2
    assert all(re.search(f"no credentials from the token exchange service: .*{told}", failure) for failure in failures)


def test_a_token_exchange_service_that_is_gone_is_waited_for(
    new: NewTransfer,
    token_exchange: TokenExchange,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
    failures: list[str],
    waits: list[float],
) -> None:
    there = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{closed_port}/")
    transfer = new()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", there)

    transfer._sleep = wait
    assert transfer.download(reference()) == BODY
    assert len(failures) == 2
    assert all("no credentials from the token exchange service: " in failure for failure in failures)


def test_credentials_that_are_refused_as_old_are_fetched_anew(
    new: NewTransfer, token_exchange: TokenExchange, line_to_s3: Line, failures: list[str]
) -> None:
    line_to_s3.fault = lambda _request: refusal(400, "ExpiredToken") if not failures else None
    assert new().download(reference()) == BODY
    assert token_exchange.asked == 2


@pytest.mark.parametrize("off_s", [-3 * 3600.0, 3 * 3600.0])
def test_a_device_whose_clock_is_wrong_by_hours_signs_by_the_clock_of_the_cloud(
    new: NewTransfer,
    token_exchange: TokenExchange,
    line_to_s3: Line,
    failures: list[str],
    off_s: float,
) -> None:
    wrong = new()
    wrong.clock._wall = lambda: time.time() + off_s
    line_to_s3.fault = refuse_skew
    wrong.clock.set(time.time() - time.monotonic())  # as the shadow's document told
    assert wrong.download(reference()) == BODY
    assert failures == []


def test_a_clock_that_is_late_is_set_by_what_s3_answers(
    new: NewTransfer, token_exchange: TokenExchange, line_to_s3: Line, failures: list[str]
) -> None:
    late = new()
    late.clock._wall = lambda: time.time() - 3 * 3600
    line_to_s3.fault = refuse_skew
    assert late.download(reference()) == BODY
    assert len(failures) == 1
    assert "RequestTimeTooSkewed" in failures[0]


def refuse_skew(request: Request) -> bytes | None:
    """S3 refuses what was signed more than 15 minutes off, and says what time it is."""
    signed = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    now = datetime.now(UTC)
    if abs((now - signed).total_seconds()) < 900:
        return None
    answer = refusal(403, "RequestTimeTooSkewed", "The difference between the request time and now is too large")
    head, _, rest = answer.partition(b"\r\n")
    return head + b"\r\nDate: " + format_datetime(now, usegmt=True).encode() + b"\r\n" + rest


def test_a_download_that_breaks_off_goes_on_where_it_was(
    cut: Callable[[], Transfer], failures: list[str], ranges: list[str | None], waits: list[float]
) -> None:
    assert cut().download(reference()) == BODY
    assert len(failures) == 2
    assert max(waits) < FIRST_RETRY_S  # it made progress each time
    assert ranges == [None, f"bytes={CHUNK_BYTES + 1000}-", f"bytes={CHUNK_BYTES + 2000}-"]


def test_waits_begin_anew_when_there_was_progress(
    new: NewTransfer, as_device: EmbeddedAws, line_to_s3: Line, waits: list[float]
) -> None:
    puts: list[str] = []

    def refuse_all_but_each_third(request: Request) -> bytes | None:
        if request.method != "PUT":
            return None
        puts.append(request.path)
        return refusal(503) if len(puts) % 3 else None

    line_to_s3.fault = refuse_all_but_each_third
    body = BODY * 4  # 26 MB: four parts
    new().upload(LARGE, body)
    assert as_device.client("s3").get_object(Bucket=BUCKET, Key=LARGE)["Body"].read() == body
    longest = [FIRST_RETRY_S, 2 * FIRST_RETRY_S] * 4
    assert len(puts) == 12
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))


@pytest.fixture
def ranges() -> list[str | None]:
    return []


@pytest.fixture
def cut(
    failures: list[str], waits: list[float], ranges: list[str | None], tmp_path: Path
) -> Iterator[Callable[[], Transfer]]:
    """A Transfer whose S3 breaks off twice, the second time at once."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            ranges.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(BODY) - start))
            self.send_header("ETag", '"it"')
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
            self.end_headers()
            broken_off = {1: CHUNK_BYTES + 1000, 2: 1000}
            self.wfile.write(BODY[start:][: broken_off.get(len(ranges), len(BODY))])
            self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def make() -> Transfer:
        s3 = boto3.session.Session(aws_access_key_id="a", aws_secret_access_key="b").client(  # noqa: S106
            "s3",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{server.server_port}",
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )
        return Transfer(lambda _clock: s3, BUCKET, tmp_path / "round", failures.append, waits.append)

    yield make
    server.shutdown()
    thread.join()
    server.server_close()
