"""What is kept of a sandbox when it ends, in a folder of the user's: docs/running.md has the layout.

A device's private key is left out, and what is the same on all devices: the packages of the component, and the Python
environment. What can't be kept is logged, and the rest is kept all the same.
"""

import base64
import contextlib
import functools
import json
import logging
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from boto3.dynamodb.types import Binary, TypeDeserializer
from botocore.exceptions import BotoCoreError, ClientError

from operations.pages import listed
from reporting.files import try_folder
from sandbox.embedded_aws import EmbeddedAws

logger = logging.getLogger(__name__)

DEVICES = "devices"
_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LEFT_OUT = (Path("privKey.key"), Path("packages"), Path("work", "com.fedgrass.Runtime"))


class KeptFolderInUseError(Exception):
    """The folder to keep a sandbox in has something in it."""


class KeptFolderWriteError(Exception):
    """Nothing can be written to the folder to keep a sandbox in."""


def check_usable(directory: Path) -> None:
    """Pass if a sandbox can be kept in a folder: it is empty, or not there, and can be written to.

    Raises:
        KeptFolderInUseError, KeptFolderWriteError: see there.
    """
    try:
        if directory.exists() and not directory.is_dir():
            raise KeptFolderInUseError(f"{directory} is no folder: name one to keep things in, empty or new")
        if directory.exists() and any(directory.iterdir()):
            raise KeptFolderInUseError(f"{directory} is not empty: remove it, or name another folder to keep things in")
        try_folder(directory)
    except OSError as error:
        why = error.strerror or error
        raise KeptFolderWriteError(f"nothing can be kept in {directory}: {why}; name another folder") from error


def device_log(directory: Path, thing: str) -> Path:
    """Where a device's log is kept in the folder."""
    return directory / DEVICES / thing / "logs" / "com.fedgrass.Client.log"


def keep(directory: Path, aws: EmbeddedAws, fleet: Path) -> None:
    """Copy all that there is of a sandbox into the folder. `fleet` is where its devices have their directories; none of
    them should be at work any more. It is the sandbox's end already: what asks this process to end is ignored
    meanwhile."""
    with _uninterrupted():
        _keep_all(directory, aws, fleet)


def add(directory: Path, file: Path) -> None:
    """Copy a file into the folder."""
    _attempt(str(file), lambda: _keep_file(directory, file))


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # which no signal interrupts
        yield
        return
    before = {name: signal.signal(name, lambda _signal, _frame: None) for name in _INTERRUPTING}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _keep_all(directory: Path, aws: EmbeddedAws, fleet: Path) -> None:
    _attempt("the log of the embedded AWS", lambda: _keep_log(directory, aws.log_path))
    for device in sorted(fleet.glob("[!.]*")):
        _attempt(f"all of {device.name}'s directory", functools.partial(_keep_device, directory / DEVICES, device))
    _attempt("the functions' logs", lambda: _keep_logs(directory / "functions", aws.client("logs")))
    _attempt("the objects in S3", lambda: _keep_objects(directory / "buckets", aws.client("s3")))
    _attempt("the records in DynamoDB", lambda: _keep_records(directory / "tables", aws.client("dynamodb")))


def _attempt(what: str, action: Callable[[], None]) -> None:
    try:
        action()
    except (OSError, shutil.Error, BotoCoreError, ClientError) as error:
        logger.warning("%s could not be kept: %s", what, error)


def _keep_log(directory: Path, log: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(log, directory / "aws.log")


def _keep_file(directory: Path, file: Path) -> None:
    shutil.copyfile(file, directory / file.name)


def _keep_device(directory: Path, device: Path) -> None:
    left_out = {device / path for path in _LEFT_OUT}

    def ignored(folder: str, names: Sequence[str]) -> list[str]:
        return [name for name in names if Path(folder, name) in left_out]

    shutil.copytree(device, directory / device.name, symlinks=True, ignore=ignored)


def _keep_logs(directory: Path, logs: Any) -> None:
    directory.mkdir()
    for group in listed(logs, "describe_log_groups", "logGroups"):
        name = group["logGroupName"]
        with (directory / f"{name.rpartition('/')[2]}.log").open("w", errors="backslashreplace") as file:
            for event in listed(logs, "filter_log_events", "events", logGroupName=name):
                file.write(event["message"].rstrip("\n") + "\n")


def _keep_objects(directory: Path, s3: Any) -> None:
    for bucket in s3.list_buckets()["Buckets"]:
        for found in listed(s3, "list_objects_v2", "Contents", Bucket=bucket["Name"]):
            path = directory.joinpath(bucket["Name"], *map(_file_name, found["Key"].split("/")))
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                content = s3.get_object(Bucket=bucket["Name"], Key=found["Key"])["Body"]
            except ClientError as error:  # it was removed since, or archived
                logger.warning("%s of bucket %s could not be kept: %s", found["Key"], bucket["Name"], error)
                continue
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)


def _file_name(part: str) -> str:
    """A part of a key, which may be anything, as a name that leads nowhere else."""
    quoted = quote(part, safe=" :=@+,()[]{}!'")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E") or "%"


def _keep_records(directory: Path, dynamodb: Any) -> None:
    directory.mkdir()
    for table in listed(dynamodb, "list_tables", "TableNames"):
        with (directory / f"{table}.jsonl").open("w") as file:
            for item in listed(dynamodb, "scan", "Items", TableName=table, ConsistentRead=True):
                record = {name: _plain(TypeDeserializer().deserialize(value)) for name, value in item.items()}
                file.write(json.dumps(record, sort_keys=True) + "\n")


def _plain(value: Any) -> Any:
    """A value of DynamoDB as JSON has it; bytes in base64."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | set):
        return [_plain(inner) for inner in (sorted(value) if isinstance(value, set) else value)]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Binary):
        binary: Any = value  # its stub lacks the attribute
        return base64.b64encode(binary.value).decode()
    return value
