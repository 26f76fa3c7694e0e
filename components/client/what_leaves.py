"""Says what leaves this device: `python -P -m components.client.what_leaves [--json] WORK`, with the component's work
directory. On a device that is /greengrass/v2/work/com.fedgrass.Client; nothing is sent, and nothing is changed. Without
-P, Python would run what lies in the current folder under a name of its library."""

import argparse
import sys
from pathlib import Path

import msgspec

from components.client import sealed
from components.client.agent import last_assignment
from components.client.device import hello
from components.client.sealed import TornFileError
from components.client.trainer.files.round_files import UPDATE, RoundFileHeader, UpdateState
from components.client.trainer.files.upload_description import SENT, Upload, describe
from protocol.messages import Hello, Progress
from protocol.tensors import InvalidTensorsError


class NoWorkDirectoryError(Exception):
    """There is no directory of this name."""


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """All that leaves: an update that waits for its upload, or else the last one that was sent, as the next one will
    have the same parts; the hello, published when the agent starts; and the last progress reported in the shadow."""

    pending: Upload | None
    last_sent: Upload | None
    hello: Hello
    progress: Progress | None


def leaving_of(work: Path) -> Leaving:
    """What leaves the device whose component has this work directory.

    Raises:
        NoWorkDirectoryError: see there.
        TornFileError, InvalidTensorsError: the update that is kept there is damaged, and will not be sent.
    """
    if not work.is_dir():
        raise NoWorkDirectoryError(f"{work} is not a directory: name the work directory of com.fedgrass.Client")
    pending = None
    waiting = sealed.read(work / "round" / UPDATE, RoundFileHeader[UpdateState])
    if waiting is not None:
        header, body = waiting
        pending = describe(header.state.bucket, header.state.key, body[: header.state.update_bytes])
    sent = work / SENT
    last_sent = msgspec.json.decode(sent.read_bytes(), type=Upload) if sent.exists() else None
    last = last_assignment.last(work / "finished.json")
    upload = pending or last_sent
    return Leaving(
        pending=pending,
        last_sent=last_sent,
        hello=hello(None if upload is None else upload.report["examples"]),
        progress=None if last is None else last.progress,
    )


def render(leaving: Leaving) -> str:
    """The same as text."""
    lines = []
    if leaving.pending is not None:
        lines += ["An update waits for its upload:", *_upload(leaving.pending)]
    elif leaving.last_sent is not None:
        lines += ["No update waits. The last one that was sent, whose parts the next one will have:"]
        lines += _upload(leaving.last_sent)
    else:
        lines += ["No update waits, and none was sent yet."]
    lines += ["", "Published when the agent starts, and when the number of examples changes, or whether it is ready:"]
    lines += _fields(msgspec.to_builtins(leaving.hello))
    lines += ["", "Reported in the device's shadow, beside a copy of the assignment:"]
    lines += _fields(msgspec.to_builtins(leaving.progress)) if leaving.progress else ["  nothing yet"]
    return "\n".join(lines)


def _upload(upload: Upload) -> list[str]:
    lines = [f"  to s3://{upload.bucket}/{upload.key}, {upload.bytes:,} bytes", "  report:"]
    lines += [f"  {line}" for line in _fields(upload.report)]
    lines += ["  differences of the model's tensors, local minus global:"]
    width = max((len(tensor.name) for tensor in upload.tensors), default=0)
    lines += [
        f"    {tensor.name:{width}}  {tensor.dtype:4}  {list(tensor.shape)!s:20}  {tensor.bytes:>12,} bytes"
        for tensor in upload.tensors
    ]
    return lines


def _fields(values: dict[str, object]) -> list[str]:
    return [f"  {name}: {msgspec.json.encode(value).decode()}" for name, value in values.items()]


def main(arguments: list[str]) -> int:
    """Prints it; status 1 if there is no such directory, or what is there is damaged."""
    parser = argparse.ArgumentParser(prog="what_leaves", description="Say what leaves this device.")
    parser.add_argument("work", type=Path, help="the component's work directory")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of text")
    options = parser.parse_args(arguments)
    try:
        leaving = leaving_of(options.work)
    except (OSError, NoWorkDirectoryError, TornFileError, InvalidTensorsError, msgspec.DecodeError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(msgspec.json.encode(leaving).decode() if options.json else render(leaving))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
