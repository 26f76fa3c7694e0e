"""sandbox/kept_files.py: what there is of a sandbox is in the user's folder, keys and what leads elsewhere aside."""

import base64
import json
import logging
import os
import signal
from pathlib import Path

import pytest

from sandbox.embedded_aws import EmbeddedAws
from sandbox.kept_files import KeptFolderInUseError, KeptFolderWriteError, add, check_usable, device_log, keep

BUCKET = "kept-files"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """The directories of a fleet with one device."""
    device = tmp_path / "fleet" / "pi:1"
    for folder in ("logs", "work/com.fedgrass.Client/packages", "work/com.fedgrass.Runtime", "packages"):
        (device / folder).mkdir(parents=True)
    (device / "logs" / "com.fedgrass.Client.log").write_text("it trains\n")
    (device / "work" / "com.fedgrass.Client" / "packages" / "mine.bin").write_bytes(b"\0")
    (device / "work" / "com.fedgrass.Runtime" / "venv").symlink_to("/nowhere")
    (device / "packages" / "client.zip").write_bytes(b"large")
    (device / "privKey.key").write_text("secret")
    (device / "work" / "link").symlink_to("/etc/passwd")
    os.mkfifo(device / "work" / "pipe")
    (tmp_path / "fleet" / "pi:2" / "logs").mkdir(parents=True)
    (tmp_path / "fleet" / ".runtime").mkdir()
    return tmp_path / "fleet"


def test_a_devices_directory_is_kept_as_it_was_without_its_key(aws: EmbeddedAws, fleet: Path, tmp_path: Path) -> None:
    keep(tmp_path / "kept", aws, fleet)
    assert device_log(tmp_path / "kept", "pi:1").read_text() == "it trains\n"
    device = tmp_path / "kept" / "devices" / "pi:1"
    assert {path.name for path in device.iterdir()} == {"logs", "work"}
    assert (device / "work" / "com.fedgrass.Client" / "packages" / "mine.bin").exists()
    assert not (device / "work" / "com.fedgrass.Runtime").exists()
    assert (device / "work" / "link").is_symlink()
    assert sorted(path.name for path in (tmp_path / "kept" / "devices").iterdir()) == ["pi:1", "pi:2"]
    assert (tmp_path / "kept" / "aws.log").stat().st_size > 0


def test_an_object_of_any_key_is_kept_below_its_bucket(aws: EmbeddedAws, fleet: Path, tmp_path: Path) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    keys = ["models/1.safetensors", "a b/%2E", "./../x", "~/y"]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    keep(tmp_path / "kept", aws, fleet)
    kept = {path.read_text(): path for path in (tmp_path / "kept" / "buckets" / BUCKET).rglob("*") if path.is_file()}
    assert kept.keys() == set(keys)
    assert kept["models/1.safetensors"].relative_to(tmp_path).parts[-2:] == ("models", "1.safetensors")
    assert all(".." not in path.relative_to(tmp_path).parts for path in kept.values())


def test_an_object_that_can_not_be_read_is_told_and_all_others_are_kept(
    aws: EmbeddedAws, fleet: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="archived")
    s3.put_object(Bucket="archived", Key="a", Body=b"1", StorageClass="GLACIER")
    s3.put_object(Bucket="archived", Key="b", Body=b"2")
    keep(tmp_path / "kept", aws, fleet)
    assert [path.name for path in (tmp_path / "kept" / "buckets" / "archived").iterdir()] == ["b"]
    assert "a of bucket archived could not be kept: " in caplog.text
    assert "InvalidObjectState" in caplog.text


def test_records_are_kept_as_json(aws: EmbeddedAws, fleet: Path, tmp_path: Path) -> None:
    aws.client("dynamodb").create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {
        "name": {"S": "a"},
        "count": {"N": "3"},
        "share": {"N": "0.25"},
        "raw": {"B": b"\xff"},
        "none": {"NULL": True},
    }
    aws.client("dynamodb").put_item(TableName="kept", Item=item | {"deep": {"L": [{"M": {"x": {"BOOL": False}}}]}})
    keep(tmp_path / "kept", aws, fleet)
    (line,) = (tmp_path / "kept" / "tables" / "kept.jsonl").read_text().splitlines()
    raw = base64.b64encode(b"\xff").decode()
    assert json.loads(line) == {
        "name": "a",
        "count": 3,
        "share": 0.25,
        "raw": raw,
        "none": None,
        "deep": [{"x": False}],
    }


def test_what_cannot_be_kept_is_logged_and_the_rest_is_kept(
    aws: EmbeddedAws, fleet: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "buckets").write_text("a file in the way")
    keep(kept, aws, fleet)
    assert "the objects in S3 could not be kept" in caplog.text
    assert (kept / "tables").is_dir()


def test_a_file_that_can_not_be_added_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "report.html").write_text("a page")
    (tmp_path / "kept").mkdir()
    add(tmp_path / "kept", tmp_path / "report.html")
    assert (tmp_path / "kept" / "report.html").read_text() == "a page"
    assert caplog.text == ""
    add(tmp_path / "nowhere", tmp_path / "report.html")
    assert f"{tmp_path / 'report.html'} could not be kept: " in caplog.text


def test_what_interrupts_the_keeping_is_ignored(aws: EmbeddedAws, fleet: Path, tmp_path: Path) -> None:
    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())
            signal.raise_signal(signal.SIGINT)

    told: list[str] = []
    handler, kept = Interrupting(), tmp_path / "kept"
    kept.mkdir()
    (kept / "buckets").write_text("a file in the way")
    logger = logging.getLogger("sandbox.kept_files")
    logger.addHandler(handler)
    try:
        keep(kept, aws, fleet)
    finally:
        logger.removeHandler(handler)
    assert any("the objects in S3 could not be kept" in text for text in told)
    assert (kept / "tables").is_dir()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    check_usable(tmp_path / "new" / "newer")
    check_usable(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x").touch()
    with pytest.raises(KeptFolderInUseError, match=str(tmp_path)):
        check_usable(tmp_path)
    with pytest.raises(KeptFolderInUseError, match="x is no folder: name one to keep things in"):
        check_usable(tmp_path / "x")


@pytest.mark.parametrize("folder", ["/proc/kept", "file/kept", "n" * 300])
def test_a_folder_that_can_not_be_made_is_refused_with_the_reason(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeptFolderWriteError, match=r"nothing can be kept in .*: .*; name another folder"):
        check_usable(tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
