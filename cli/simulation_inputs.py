"""What a simulation is of: its clients, their devices, and all that has to be the same to go on with it. Without
torch, so that a command can look before it computes."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from cli.client_data import ClientData
from cli.planning.region import priced_region
from cli.project import Project, ProjectError
from cli.project_data import DataOptions, source_of
from cli.settings.contradictions import fleet_contradictions
from cli.settings.problems import told
from cloud import custom_policies
from reporting.tracking_process import TrackerName
from simulation.devices import Fleet, read_devices
from simulation.run import Run

BackendName = Literal["auto", "loop", "processes", "vectorized"]

_NO_MATTER = ("preset", "task", "thing_group", "initial_model", "averaging.shards")
"""Settings that change no bit of a simulation that has begun."""


class Options(DataOptions, frozen=True, kw_only=True):
    """What a simulation is told, beside the project. The tracker `track` is told of its rounds; `seed` is that of
    whether devices answer as well."""

    devices: Path | None = None
    backend: BackendName = "auto"
    workers: int | None = None
    evaluate_every: int = 1
    out: Path
    resume: bool = False
    track: TrackerName | None = None


def run_of(project: Project, options: Options, data: ClientData, identity: dict[str, str]) -> Run:
    """What is to be simulated with this data.

    Raises:
        ProjectError, DevicesError, InvalidPolicyError: something of it is wrong, or does not fit together.
    """
    devices = read_devices(options.devices, data.folders) if options.devices else {}
    if problems := list(fleet_contradictions(project.settings, len(data.folders))):
        raise ProjectError(f"{project.path}: {told(problems)}")
    return Run(
        settings=project.settings,
        things=tuple(data.folders),
        fleet=Fleet(devices, options.seed),
        policies=custom_policies.load(project.directory, project.settings),
        of=identity,
        region=priced_region(),
    )


def identity_of(project: Project, options: Options) -> dict[str, str]:
    """What has to be the same for a simulation to go on with the same bits, as texts to be shown."""
    values = dict(_flat(msgspec.to_builtins(project.settings)))
    values["the task's code"] = _digest(*(path.read_bytes() for path in sorted(project.task.rglob("*.py"))))
    values["policies.py"] = _digest(*project.policies.values())
    source = source_of(project, options)
    values["the data"] = "packaged" if source is None else _fingerprint(source)
    values["clients"], values["split"] = str(options.clients), str(options.split)
    values["seed"] = str(options.seed)
    values["devices"] = _fingerprint(options.devices) if options.devices else "none"
    return values


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flat(item, f"{path}.{name}" if path else name)
    elif path not in _NO_MATTER:
        yield path, str(value)


def _fingerprint(data: Path) -> str:
    """Of a file by what is in it; of a folder, which may be large, by the names and sizes of its files."""
    if not data.is_dir():
        return _digest(data.read_bytes()) if data.exists() else "missing"
    files = sorted(
        (path.relative_to(data).as_posix(), path.stat().st_size) for path in data.rglob("*") if path.is_file()
    )
    return _digest(msgspec.json.encode(files))


def _digest(*contents: bytes) -> str:
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]
