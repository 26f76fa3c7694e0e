"""What a check finds, as values; and what the process that tries a task out tells about it, line by line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from cloud.settings import Federation

Severity: TypeAlias = Literal["error", "warning"]

_LONGEST_LINE = 160


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, or, as a warning, that may be: where, the user's own line there, and what to do."""

    severity: Severity = "error"
    text: str
    remedy: str = ""
    file: str | None = None
    line: int | None = None
    code: str | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured and counted; None is what could not be."""

    parameters: int | None = None
    tensors: int | None = None
    model_bytes: int | None = None
    update_bytes: int | None = None
    report_bytes: int | None = None
    clients: int | None = None
    clients_loaded: int | None = None
    examples: int | None = None
    test_examples: int | None = None
    load_s: float | None = None
    step_s: float | None = None
    evaluation_s: float | None = None
    before: dict[str, float | None] = {}
    after: dict[str, float | None] = {}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried out. `task` is the folder of task.py, None if policies.py alone is to be; `packed` are the
    names in it of what goes to devices. `directory` is that of federation.yaml. `clients` are folders of data by
    client; `limit_s` is how long training and evaluation may take each. The model that a federation would start with
    is written to `model`."""

    task: Path | None
    packed: tuple[str, ...] = ()
    directory: Path
    settings: Federation
    clients: dict[str, Path] = {}
    limit_s: float = 2.0
    model: Path


class Entered(msgspec.Struct, frozen=True, tag="entered"):
    """A step has begun."""

    step: str


class Found(msgspec.Struct, frozen=True, tag="found"):
    """Something is wrong."""

    finding: Finding


class Learned(msgspec.Struct, frozen=True, tag="learned"):
    """What is known by now."""

    facts: Facts


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """All has been looked at that could be."""


Event: TypeAlias = Entered | Found | Learned | Finished


def at(path: Path, line: int | None, text: str, remedy: str = "", *, severity: Severity = "error") -> Finding:
    """A finding in a file of the user's, with the line as it stands there."""
    return Finding(severity=severity, text=text, remedy=remedy, file=str(path), line=line, code=line_of(path, line))


def line_of(path: Path, line: int | None) -> str | None:
    """A line of a file, without its indentation; None if it has none."""
    if line is None:
        return None
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return None
    if not 0 < line <= len(lines):
        return None
    return lines[line - 1].decode(errors="backslashreplace").strip()[:_LONGEST_LINE] or None


def lines_of(finding: Finding) -> Iterator[str]:
    """Where and what, the user's own line, and the remedy: lines for people."""
    place = ""
    if finding.file is not None:
        path = Path(finding.file)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        place = f"{shown}: " if finding.line is None else f"{shown}:{finding.line}: "
    yield f"{place}{finding.severity}: {finding.text}"
    if finding.code:
        yield f"    {finding.code}"
    if finding.remedy:
        yield f"  {finding.remedy}"
