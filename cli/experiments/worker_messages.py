"""What an experiment and its processes say to each other: one run at a time."""

import msgspec

from cli.simulation_inputs import BackendName
from cloud.settings import Federation
from reporting.records import RoundLine


class RunRequest(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Simulate this, into the run folder `out`. Paths are absolute."""

    project: str
    settings: Federation
    folders: dict[str, str]
    holdout: str | None
    seed: int
    devices: str | None
    backend: BackendName
    evaluate_every: int
    out: str
    resume: bool
    identity: dict[str, str]


class ComputedApart(msgspec.Struct, frozen=True, tag="apart"):
    """Clients can't be trained at once, as they were to be."""

    reason: str


class RoundEnded(msgspec.Struct, frozen=True, tag="round"):
    """A round of it has ended."""

    line: RoundLine


class RunEnded(msgspec.Struct, frozen=True, tag="ended"):
    """All of its rounds have."""


class RunFailed(msgspec.Struct, frozen=True, tag="failed"):
    """It can't go on."""

    reason: str


Answer = ComputedApart | RoundEnded | RunEnded | RunFailed
